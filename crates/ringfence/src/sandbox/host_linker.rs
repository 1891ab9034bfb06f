//! Functions of the host as core modules import them: with numbers.

use std::sync::Arc;

use wasmtime::{FuncType, Linker, Val, ValType};

use super::store::State;
use crate::host::{HostFunction, Signature, Value, ValueType};

/// The signature of an import, or the type that no host function takes or gives.
pub(crate) fn signature(function: &FuncType) -> Result<Signature, ValType> {
    let of = |kind: ValType| match kind {
        ValType::I32 => Ok(ValueType::I32),
        ValType::I64 => Ok(ValueType::I64),
        ValType::F32 => Ok(ValueType::F32),
        ValType::F64 => Ok(ValueType::F64),
        other => Err(other),
    };
    Ok(Signature {
        params: function.params().map(of).collect::<Result<_, _>>()?,
        results: function.results().map(of).collect::<Result<_, _>>()?,
    })
}

/// Links an import to the function at that index.
pub(crate) fn add_to_linker(
    linker: &mut Linker<State>,
    index: usize,
    function: &HostFunction,
    kind: FuncType,
    signature: Signature,
) -> wasmtime::Result<()> {
    let results: Arc<[ValueType]> = signature.results.into();
    linker.func_new_async(&function.module, &function.name, kind, move |caller, params, answers| {
        let results = results.clone();
        Box::new(async move {
            let params = params.iter().map(of_guest).collect::<wasmtime::Result<Vec<Value>>>()?;
            let (calls, peak) = {
                let state: &State = caller.data();
                (state.host_calls.clone(), state.limiter.peak())
            };
            let values = calls.numbers(index, params, results, peak).await.map_err(wasmtime::Error::new)?;
            for (answer, value) in answers.iter_mut().zip(values) {
                *answer = to_guest(value);
            }
            Ok(())
        })
    })?;
    Ok(())
}

fn of_guest(value: &Val) -> wasmtime::Result<Value> {
    Ok(match value {
        Val::I32(value) => Value::I32(*value),
        Val::I64(value) => Value::I64(*value),
        Val::F32(bits) => Value::F32(*bits),
        Val::F64(bits) => Value::F64(*bits),
        _ => return Err(wasmtime::Error::msg("a host function was linked to an import of another type")),
    })
}

fn to_guest(value: Value) -> Val {
    match value {
        Value::I32(value) => Val::I32(value),
        Value::I64(value) => Val::I64(value),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
    }
}
