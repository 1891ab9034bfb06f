-- What a session finds beside Lua's own libraries: the host's functions by name, `ringfence`, `help`.
local native = ...
local error, ipairs, print, rawget, setmetatable, tostring, type = error, ipairs, print, rawget, setmetatable, tostring, type
local pack, getenv, gsub = table.pack, os.getenv, string.gsub
local null, path = native.null, package.path

local HostError = { __name = "HostError" }
function HostError.__tostring(e) return tostring(rawget(e, "type")) .. ": " .. tostring(rawget(e, "message")) end

local function call(name, arguments, keywords)
  local answer = native.call(name, arguments or {}, keywords)
  if answer[1] == 0 then
    if answer[2] == null then return nil end
    return answer[2]
  end
  error(setmetatable({ type = answer[2], message = answer[3] }, HostError), 0)
end

local functions, told = {}, setmetatable({}, { __mode = "k" })
ringfence = { call = call, functions = functions, raw = native.raw, null = null, HostError = HostError }
package.loaded.ringfence = ringfence

function help(subject)
  local said = false
  local function say(f)
    said = true
    print(f.name .. f.signature)
    if f.doc ~= "" then print((gsub("    " .. f.doc, "\n", "\n    "))) end
  end
  if subject ~= nil then
    if not told[subject] then return print(tostring(subject)) end
    return say(told[subject])
  end
  for _, f in ipairs(functions) do say(told[f]) end
  if not said then print("This session has no host functions.") end
end

-- Once for each run that begins: what the host offers, and what variables say.
return function()
  do
    local wanted = getenv("LUA_PATH_5_4") or getenv("LUA_PATH")
    if wanted then package.path = gsub(gsub(gsub(wanted, ";;", ";\1;"), "\1", (gsub(path, "%%", "%%%%"))), "^;", "") end
  end
  for _, each in ipairs(native.offered() or {}) do
    local name = each.name
    local function f(...)
      local value = call(name, pack(...))   -- no tail call: who called it is part of a traceback
      return value
    end
    told[f] = { name = name, signature = each.signature == null and "(...)" or each.signature or "(...)",
                doc = each.doc == null and "" or each.doc or "" }
    functions[#functions + 1], functions[name] = f, f
    _G[name] = f
  end
end
