"""
StarlingMonkey as a component: the engine of componentize-js with our driver, after its boot script.

The package's own `componentize` would evaluate a program at build time; ours comes at run time. So componentize.mjs
does its steps by hand: it splices bindings in, merges bridge.wat with the engine, and has wizer run the boot script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packs.building.failure import Failure
from packs.building.pack import PACKS
from packs.components import npm

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

VERSION = "0.23.0"
# Name, version and the registry's SHA-512. The others are tools: nothing of them gets into the component.
PACKAGES = {
    "@bytecodealliance/componentize-js": (
        VERSION,
        "Qc2+lrwJHU7lq4CBMyVVYE8ASyUFeegMYdRnMVG0wNpNiATzGDF/mWpjDNTeVZeT8L9chhK3vuLaQE9FVANvfw==",
    ),
    "@bytecodealliance/jco": (
        "1.15.1",
        "xyn/mvCjMCHX5dr2m7Ijx7HK/EaPbFvAU/BQ9F6HaZ6W2N/ajx5/eP+UgkQpiN58tjKGLSKbyoOjRxpCJOYfWg==",
    ),
    "@bytecodealliance/preview2-shim": (
        "0.17.5",
        "F4WYVC6aHOiOXSsG3WDGFALrkpb952+9/EIX119qIzDtYgE5tvbOnKeBb0Y+NMzGEsu3334GdHIRXQ6wibY0MA==",
    ),
    "binaryen": ("130.0.0", "XDrb+zql0RbFPKgj7MuH9zOc78R3Fa/P/VSGnnpdwYsvNZPWjcMYMdAkKCOQEL2A7yqgjSMTDRFp6gfSDW+/QQ=="),
}
# How values are printed is that of the pack `javascript`.
SHARED = [PACKS / "javascript" / "boot" / name for name in ("10-inspect.js", "20-console.js")]
# What it asks of an error there is a text that our engine writes in another way.
STACK, STACKS = "error.stack", 2


def boot(build: Build) -> str:
    """Join the boot script."""
    own = list((build.folder / "boot").glob("*.js"))
    texts = [f'const VERSION = "{VERSION}";\n']
    for file in sorted([*own, *SHARED], key=lambda file: file.name):
        text = file.read_text(encoding="utf-8")
        if file.name == SHARED[0].name:
            if text.count(STACK) != STACKS:
                what = f"{file.name} has {text.count(STACK)} times `{STACK}`"
                raise Failure(what, f"the recipe of javascript_web expects {STACKS}", "change it with the file")
            text = text.replace(STACK, "stackOf(error)")
        texts.append(text)
    return "".join(texts)


def build(build: Build) -> Path:
    """Make the component."""
    node = npm.node(build.steps)
    packages = npm.packages(node, PACKAGES, build.steps)
    build.sources += [f"sha512-{sha512}  {name}-{version}\n" for name, (version, sha512) in PACKAGES.items()]
    files = build.work / "files"
    files.mkdir()
    (files / "<boot>").write_text(boot(build), encoding="utf-8")
    wasmtime = build.packages() / "wasmtime_cli" / "wasmtime"
    wasmtime.chmod(0o755)
    with build.steps.step("engine, driver, snapshot"):
        build.run([node, "componentize.mjs", packages, build.work, wasmtime], cwd=build.folder)
    licence = packages / "node_modules" / "@bytecodealliance" / "componentize-js" / "LICENSE"
    build.licences |= {
        "componentize-js.txt": licence.read_text(encoding="utf-8"),
        "notice.txt": (build.folder / "NOTICE.txt").read_text(encoding="utf-8"),
    }
    return build.work / "component.wasm"
