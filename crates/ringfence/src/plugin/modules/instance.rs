//! A live instance of a core module.

use wasmtime::{Func, Global, Instance, Memory, Store, Val};

use super::{CONSTRUCTORS, HASKELL, INITIALIZE, number, value, word};
use crate::plugin::tape::Tape;
use crate::plugin::types::Number;
use crate::plugin::world::World;
use crate::sandbox::components::ComponentState;
use crate::sandbox::stop::{Limit, Stop};

/// What of it is called, read and written, by the places of its world.
pub(in crate::plugin) struct ModuleInstance {
    functions: Vec<Function>,
    pub(super) memories: Vec<Memory>,
    pub(super) globals: Vec<(Global, Number)>,
    /// What it is set up by, in this order.
    begins: Vec<Func>,
    pub(super) instance: Instance,
}

struct Function {
    func: Func,
    params: Vec<Number>,
    results: usize,
}

fn missing() -> wasmtime::Error {
    wasmtime::Error::msg("an export is gone")
}

impl ModuleInstance {
    pub(in crate::plugin) fn of(
        store: &mut Store<ComponentState>,
        instance: &Instance,
        world: &World,
    ) -> wasmtime::Result<Self> {
        let mut functions = Vec::new();
        for function in world.exports.iter().flat_map(|interface| &interface.functions) {
            let func = instance.get_func(&mut *store, &function.name).ok_or_else(missing)?;
            let kind = func.ty(&*store);
            let params = kind.params().filter_map(|kind| number(&kind)).collect();
            functions.push(Function { func, params, results: kind.results().len() });
        }
        let mut begins = Vec::new();
        let has_initialize = instance.get_func(&mut *store, INITIALIZE).is_some();
        for name in [INITIALIZE, CONSTRUCTORS, HASKELL] {
            if name != INITIALIZE && store.data().kernel.is_none() || name == CONSTRUCTORS && has_initialize {
                continue;
            }
            let Some(func) = instance.get_func(&mut *store, name) else { continue };
            let kind = func.ty(&*store);
            let takes = if name == HASKELL { 2 } else { 0 };
            if kind.params().len() == takes && kind.params().all(|kind| kind.is_i32()) && kind.results().len() == 0 {
                begins.push(func);
            }
        }
        let memories = world.memories.iter().map(|name| instance.get_memory(&mut *store, name).ok_or_else(missing));
        let memories = memories.collect::<wasmtime::Result<_>>()?;
        let globals = world.globals.iter().map(|global| {
            let found = instance.get_global(&mut *store, &global.name).ok_or_else(missing)?;
            Ok((found, global.kind))
        });
        let globals = globals.collect::<wasmtime::Result<_>>()?;
        Ok(Self { functions, memories, globals, begins, instance: *instance })
    }

    /// Sets it up, as libraries for WASI are.
    pub(in crate::plugin) fn begin(&self, store: &mut Store<ComponentState>) -> wasmtime::Result<()> {
        for begin in &self.begins {
            let params = vec![Val::I32(0); begin.ty(&*store).params().len()];
            begin.call(&mut *store, &params, &mut [])?;
        }
        Ok(())
    }

    /// The same where an import may wait.
    pub(in crate::plugin) async fn begin_async(&self, store: &mut Store<ComponentState>) -> wasmtime::Result<()> {
        for begin in &self.begins {
            let params = vec![Val::I32(0); begin.ty(&*store).params().len()];
            begin.call_async(&mut *store, &params, &mut []).await?;
        }
        Ok(())
    }

    /// Calls a function where nothing waits.
    pub(in crate::plugin) fn call(
        &self,
        store: &mut Store<ComponentState>,
        index: usize,
        tape: &Tape,
    ) -> wasmtime::Result<Tape> {
        let function = self.function(index)?;
        let params = function.params(store, tape)?;
        let mut results = vec![Val::I32(0); function.results];
        let called = function.func.call(&mut *store, &params, &mut results);
        told(store, called, &results)
    }

    /// The same where an import may wait.
    pub(in crate::plugin) async fn call_async(
        &self,
        store: &mut Store<ComponentState>,
        index: usize,
        tape: &Tape,
    ) -> wasmtime::Result<Tape> {
        let function = self.function(index)?;
        let params = function.params(store, tape)?;
        let mut results = vec![Val::I32(0); function.results];
        let called = function.func.call_async(&mut *store, &params, &mut results).await;
        told(store, called, &results)
    }

    fn function(&self, index: usize) -> wasmtime::Result<&Function> {
        self.functions.get(index).ok_or_else(|| wasmtime::Error::msg("there is no such function"))
    }
}

impl Function {
    /// The numbers that it is called with; a plugin for Extism is given its input otherwise.
    fn params(&self, store: &mut Store<ComponentState>, tape: &Tape) -> wasmtime::Result<Vec<Val>> {
        let mut from = tape.reader();
        let ComponentState { state, kernel, .. } = store.data_mut();
        if let Some(kernel) = kernel {
            return match kernel.begin(from.piece()?, &mut state.limiter) {
                true => Ok(Vec::new()),
                false => Err(Stop::Limit(Limit::Memory).into()),
            };
        }
        Ok(self.params.iter().map(|kind| value(*kind, &mut from)).collect::<Result<_, _>>()?)
    }
}

/// What a call gave; of a plugin for Extism its code, output, error and messages.
fn told(store: &mut Store<ComponentState>, called: wasmtime::Result<()>, results: &[Val]) -> wasmtime::Result<Tape> {
    let mut tape = Tape::default();
    let Some(kernel) = &mut store.data_mut().kernel else {
        called?;
        results.iter().for_each(|result| tape.word(word(result)));
        return Ok(tape);
    };
    // One that is a program has ended well so.
    let has_exited = called.as_ref().is_err_and(|error| matches!(error.downcast_ref(), Some(Stop::Exit(0))));
    if !has_exited {
        called?;
    }
    let (output, error, logs) = kernel.end();
    tape.word(results.first().map_or(0, word));
    tape.bytes(output);
    tape.bytes(error);
    tape.word(logs.len() as u64);
    for (level, text) in logs {
        tape.word(u64::from(level.cast_unsigned()));
        tape.bytes(text.as_bytes());
    }
    Ok(tape)
}
