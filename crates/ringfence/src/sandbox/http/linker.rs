//! `wasi:http` for components that import it, with bounds where a guest's text would stay on the host's side.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource};
use wasmtime_wasi_http::p2::bindings::http::types as v0_2;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::p3::bindings::http::types as v0_3;
use wasmtime_wasi_http::{Error, WasiHttpCtxView, WasiHttpView, p2, p3};

use crate::sandbox::components::ComponentState;

/// What a component may import, without its version, and the level that has it.
pub(crate) const INTERFACES: [(&str, &str); 4] = [
    ("wasi:http/types", "0.2"),
    ("wasi:http/outgoing-handler", "0.2"),
    ("wasi:http/types", "0.3"),
    ("wasi:http/client", "0.3"),
];

/// Longest name of a method, in bytes.
const MAX_METHOD_BYTES: usize = 64;

/// The versions that are linked; components of the others of their level are, too.
const TYPES_0_2: &str = "wasi:http/types@0.2.12";
const TYPES_0_3: &str = "wasi:http/types@0.3.0";

/// Adds the interfaces of WASI 0.2, and those of 0.3.
pub(crate) fn add_to_linker(linker: &mut Linker<ComponentState>, experimental: bool) -> wasmtime::Result<()> {
    p2::add_only_http_to_linker_async(linker)?;
    if experimental {
        p3::add_to_linker(linker)?;
    }
    linker.allow_shadowing(true);
    bound_0_2(&mut linker.instance(TYPES_0_2)?)?;
    if experimental {
        bound_0_3(&mut linker.instance(TYPES_0_3)?)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Replaces the functions that keep a text as long as the guest likes: a method has no bound at all, and ten thousand
/// requests with a URL of 64 KiB each are more than the host may hold.
macro_rules! bound {
    ($instance:ident, $Request:ty, $level:ident :: $Host:ident, $resource:literal) => {{
        type State<'a> = StoreContextMut<'a, ComponentState>;
        $instance.func_wrap(
            concat!("[method]", $resource, ".set-method"),
            |mut store: State<'_>, (request, method): (Resource<$Request>, $level::Method)| {
                if matches!(&method, $level::Method::Other(name) if name.len() > MAX_METHOD_BYTES) {
                    return Ok((Err(()),));
                }
                Ok(($level::$Host::set_method(&mut view(&mut store), request, method)?,))
            },
        )?;
        $instance.func_wrap(
            concat!("[method]", $resource, ".set-path-with-query"),
            |mut store: State<'_>, (request, path): (Resource<$Request>, Option<String>)| {
                if is_too_long(&store, path.as_deref()) {
                    return Ok((Err(()),));
                }
                Ok(($level::$Host::set_path_with_query(&mut view(&mut store), request, path)?,))
            },
        )?;
        $instance.func_wrap(
            concat!("[method]", $resource, ".set-authority"),
            |mut store: State<'_>, (request, authority): (Resource<$Request>, Option<String>)| {
                if is_too_long(&store, authority.as_deref()) {
                    return Ok((Err(()),));
                }
                Ok(($level::$Host::set_authority(&mut view(&mut store), request, authority)?,))
            },
        )
    }};
}

fn bound_0_2(types: &mut LinkerInstance<'_, ComponentState>) -> wasmtime::Result<()> {
    types.func_wrap(
        "http-error-code",
        |store: StoreContextMut<'_, ComponentState>, (error,): (Resource<wasmtime::Error>,)| {
            Ok((store.data().table.get(&error)?.downcast_ref::<Error>().map(error_code),))
        },
    )?;
    bound!(types, HostOutgoingRequest, v0_2::HostOutgoingRequest, "outgoing-request")
}

/// What went wrong with a body. The engine's own function looks for another type than its streams give.
fn error_code(error: &Error) -> v0_2::ErrorCode {
    match error {
        Error::ConnectionReadTimeout => v0_2::ErrorCode::ConnectionReadTimeout,
        Error::ConnectionTerminated => v0_2::ErrorCode::ConnectionTerminated,
        Error::HttpRequestBodySize(size) => v0_2::ErrorCode::HttpRequestBodySize(*size),
        Error::HttpResponseIncomplete => v0_2::ErrorCode::HttpResponseIncomplete,
        Error::HttpResponseTimeout => v0_2::ErrorCode::HttpResponseTimeout,
        Error::HttpResponseHeaderSectionSize(size) => v0_2::ErrorCode::HttpResponseTrailerSectionSize(*size),
        _ => v0_2::ErrorCode::HttpProtocolError,
    }
}

fn bound_0_3(types: &mut LinkerInstance<'_, ComponentState>) -> wasmtime::Result<()> {
    bound!(types, p3::Request, v0_3::HostRequest, "request")
}

fn view<'a>(store: &'a mut StoreContextMut<'_, ComponentState>) -> WasiHttpCtxView<'a> {
    store.data_mut().http()
}

fn is_too_long(store: &StoreContextMut<'_, ComponentState>, text: Option<&str>) -> bool {
    text.is_some_and(|text| text.len() > store.data().requests().max_text())
}
