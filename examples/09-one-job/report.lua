-- Units and revenue, in cents, of each region in a table of sales.
local totals, regions = {}, {}
local file = assert(io.open("/sales.csv"))
file:read()
for line in file:lines() do
  local region, units, price = line:match("^[^,]*,([^,]*),[^,]*,(%d+),([%d.]+)$")
  if not totals[region] then
    totals[region] = { units = 0, cents = 0 }
    regions[#regions + 1] = region
  end
  totals[region].units = totals[region].units + math.tointeger(units)
  totals[region].cents = totals[region].cents + math.tointeger(units) * math.floor(price * 100 + 0.5)
end
file:close()
table.sort(regions)
local parts = {}
for i, region in ipairs(regions) do
  parts[i] = string.format('"%s": {"units": %d, "cents": %d}', region, totals[region].units, totals[region].cents)
end
print("{" .. table.concat(parts, ", ") .. "}")
