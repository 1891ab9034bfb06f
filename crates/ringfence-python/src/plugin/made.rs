//! What the plugins of one source have in common for Python, whichever instances are behind them.

use std::sync::{Arc, OnceLock};

use pyo3::prelude::*;
use ringfence::plugin::{Instances, TypeId, World};

use super::plan::Plan;
use super::succession::Calls;
use super::vectorcall_unsafe::callable;
use super::{Inner, Interrupt, Plugin, PluginFunction};
use crate::yours::Yours;

/// What plugins are made of, beside their instances.
pub struct Made {
    pub plan: Arc<Plan>,
    pub world: Arc<World>,
    pub interrupt: Arc<Interrupt>,
    pub functions: Vec<Named>,
}

/// A function that is exported, as Python knows it.
pub struct Named {
    pub name: String,
    pub signature: String,
    pub params: Vec<(String, TypeId)>,
    pub result: Option<TypeId>,
    pub error: Option<Py<PyAny>>,
    pub classes: Py<PyAny>,
}

impl Made {
    /// A plugin of these instances.
    pub fn plugin(self: &Arc<Self>, py: Python<'_>, plugin: Instances, yours: &Py<Yours>) -> PyResult<Plugin> {
        let (plan, world, interrupt) = (self.plan.clone(), self.world.clone(), self.interrupt.clone());
        let inner = Arc::new(Inner { plugin, plan, world, interrupt, calls: Calls::default() });
        // Of plugins that share a plan, none has anything that asks for this.
        let _ = inner.plan.inner.set(Arc::downgrade(&inner));
        let functions = self.functions.iter().enumerate().map(|(index, named)| {
            let Named { name, signature, params, result, error, classes } = named;
            let function = PluginFunction {
                inner: inner.clone(),
                index,
                name: name.clone(),
                signature: signature.clone(),
                params: params.clone(),
                result: *result,
                error: error.as_ref().map(|error| error.clone_ref(py)),
                classes: classes.clone_ref(py),
                yours: yours.clone_ref(py),
                newest: OnceLock::new(),
            };
            callable(py, function)
        });
        let functions = functions.collect::<PyResult<Vec<_>>>()?;
        // Only core modules are captured: their classes are nobody's but Python's, and lead back to no plugin.
        let made = self.world.is_module.then(|| self.clone());
        Ok(Plugin { inner, functions, made, yours: yours.clone_ref(py) })
    }
}
