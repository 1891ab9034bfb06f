//! A plugin's code, before any of it runs: what it offers and wants, and the way from there to an instance.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple, PyWeakrefReference};
use ringfence::plugin::{
    Extism, Function, Imports, Instances, Interface, Look, Resource, Shape, Source, TypeId, World,
};
use ringfence::worker::Isolation;

use super::callbacks::{Callback, Callbacks};
use super::made::{Made, Named};
use super::plan::Plan;
use super::snapshot::Begun;
use super::{Interrupt, Plugin, PluginSnapshot};
use crate::attach::attached;
use crate::enter::enter;
use crate::policy::Policy;
use crate::program::Program;
use crate::sandbox::watched;
use crate::yours::{Functions, Yours};

/// What a plugin for Extism is granted: its configuration, how functions of the host take bytes, the bytes of its
/// variables, and the least level of messages.
type Granted = (BTreeMap<String, String>, BTreeMap<String, (Vec<bool>, bool)>, u64, i32);

/// What an instance is made with: classes by type, functions by import, names and classes of errors by export, whether
/// functions are called on their caller's thread, and what waits for a coroutine that one of them gave.
type Given<'py> = (Bound<'py, PyAny>, Vec<Option<Py<PyAny>>>, Vec<Export>, bool, Py<PyAny>);

/// How Python names a function and its parameters, and the class of its error.
type Export = (String, Vec<String>, Option<Py<PyAny>>);

/// Loaded, and opened once.
#[pyclass(frozen, module = "ringfence._core")]
pub struct PluginSource {
    world: Arc<World>,
    source: Mutex<Option<Source>>,
}

#[pymethods]
impl PluginSource {
    #[new]
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (program, policy, progress = None, extism = None, lasting = true, isolation = "wasm", tenant = None))]
    fn new(
        py: Python<'_>,
        program: &Program,
        policy: &Policy,
        progress: Option<Py<PyAny>>,
        extism: Option<Granted>,
        lasting: bool,
        isolation: &str,
        tenant: Option<String>,
    ) -> PyResult<Self> {
        let isolation = enter(py, || Isolation::read(isolation))?;
        let (grants, program, policy) = (policy.grants.clone(), program.program.clone(), policy.policy.clone());
        let source = watched(py, progress, |watch| {
            let settings = extism.map(|(config, functions, var_bytes, log_level)| Extism {
                config,
                var_bytes,
                log_level,
                functions,
            });
            Source::load(&program, policy, grants, settings, lasting, Some(watch), (isolation, tenant))
        })?;
        Ok(Self { world: source.world().clone(), source: Mutex::new(Some(source)) })
    }

    /// Its types, each a tuple of its kind and its parts.
    fn types<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let types = self.world.types.shapes().iter().map(|shape| described(py, shape));
        PyList::new(py, types.collect::<PyResult<Vec<_>>>()?)
    }

    /// What each of its types is called, and in which interface; none where it has no name.
    fn names(&self) -> Vec<Option<(String, String)>> {
        let types = &self.world.types;
        let numbers = (0..).map(TypeId).take(types.shapes().len());
        numbers.map(|id| types.called(id).map(|(of, name)| (of.to_owned(), name.to_owned()))).collect()
    }

    /// Its resources: interface, name, and whether the host makes them.
    fn resources(&self) -> Vec<(String, String, bool)> {
        let resources = self.world.types.resources().iter();
        resources.map(|resource| (resource.interface.clone(), resource.name.clone(), resource.is_hosts)).collect()
    }

    /// Interfaces that it exports: name, functions and types.
    fn exports<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        interfaces(py, &self.world, &self.world.exports)
    }

    /// Interfaces that it imports from its host.
    fn imports<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        interfaces(py, &self.world, &self.world.imports)
    }

    /// What else it exports where it is a core module: memories, globals, and what is no use, with the reason.
    #[allow(clippy::type_complexity)]
    fn others(&self) -> (Vec<String>, Vec<String>, Vec<(String, String)>) {
        let globals = self.world.globals.iter().map(|global| global.name.clone());
        (self.world.memories.clone(), globals.collect(), self.world.refused.clone())
    }

    /// Makes an instance. Or a pool of so many, each of them for one call alone if it is `fresh`.
    #[pyo3(signature = (given, pool = None))]
    fn open(&self, py: Python<'_>, given: Given<'_>, pool: Option<(usize, bool)>) -> PyResult<Plugin> {
        let Linked { source, made, yours, imports, inline, look } = self.linked(py, given)?;
        let opened = enter(py, || match pool {
            None => source.open(imports, inline, look).map(Instances::One),
            Some(instances) => source.pool(imports, inline, look, instances).map(Instances::Pool),
        });
        made.interrupt.check()?;
        made.plugin(py, opened?, &yours)
    }

    /// A snapshot whose forks are of this source, and whether the policy may be wider than of what it is.
    fn continuing(
        &self,
        py: Python<'_>,
        given: Given<'_>,
        begun: Begun<'_>,
        allow_wider: bool,
    ) -> PyResult<PluginSnapshot> {
        let Linked { source, made, yours, imports, inline, look } = self.linked(py, given)?;
        let snapshot = match &begun {
            Begun::Snapshot(of) => {
                let of = &of.snapshot;
                enter(py, || source.continuing(of, imports, inline, look, allow_wider))?
            }
            Begun::Saved(of) => {
                let of = &of.saved;
                enter(py, || source.loading(of, imports, inline, look, allow_wider))?
            }
        };
        Ok(PluginSnapshot { snapshot, made, yours })
    }

    /// A pool, as `open` makes one, whose instances go on from a snapshot.
    fn pool_from(
        &self,
        py: Python<'_>,
        given: Given<'_>,
        begun: PyRef<'_, PluginSnapshot>,
        allow_wider: bool,
        pool: (usize, bool),
    ) -> PyResult<Plugin> {
        let Linked { source, made, yours, imports, inline, look } = self.linked(py, given)?;
        let of = &begun.snapshot;
        let opened = enter(py, || source.pool_from((of, allow_wider), imports, inline, look, pool));
        made.interrupt.check()?;
        made.plugin(py, Instances::Pool(opened?), &yours)
    }
}

/// A source with what it is opened with.
struct Linked {
    source: Source,
    made: Arc<Made>,
    yours: Py<Yours>,
    imports: Option<Arc<dyn Imports>>,
    inline: bool,
    look: Look,
}

impl PluginSource {
    fn taken(&self) -> PyResult<Source> {
        let source = self.source.lock().unwrap_or_else(|broken| broken.into_inner()).take();
        source.ok_or_else(|| PyValueError::new_err("a source is opened once"))
    }

    fn linked(&self, py: Python<'_>, (classes, functions, names, inline, wait): Given<'_>) -> PyResult<Linked> {
        let source = self.taken()?;
        let plan = Arc::new(Plan::new(py, &self.world.types, &classes)?);
        let imported = self
            .world
            .imports
            .iter()
            .flat_map(|interface| interface.functions.iter().map(move |function| (interface, function)));
        let callbacks: Vec<Callback> =
            imported.zip(&functions).map(|((interface, function), _)| callback(interface, function)).collect();
        let is_wanted = self.world.imports.iter().any(|interface| self.world.wants(interface));
        let dropped = self.world.types.resources().iter().map(|resource| !has_drop(&self.world, resource)).collect();
        let functions = Arc::new(Functions::new(functions));
        let yours = Py::new(py, Yours::new(functions.clone(), Some(plan.clone())))?;
        // Weakly: it has the plan.
        let _ = plan.yours.set(PyWeakrefReference::new(yours.bind(py))?.unbind());
        let callbacks = Callbacks { plan: plan.clone(), functions: callbacks, yours: functions, wait, dropped };
        let is_wanted = is_wanted || self.world.types.have_streams();
        let imports = is_wanted.then(|| Arc::new(callbacks) as Arc<_>);
        let interrupt = Arc::<Interrupt>::default();
        let theirs = interrupt.clone();
        let look = Arc::new(move || match attached(|py| py.check_signals()) {
            Some(Ok(())) | None => true,
            Some(Err(error)) => {
                theirs.put(error);
                false
            }
        });
        let exported = self
            .world
            .exports
            .iter()
            .flat_map(|interface| interface.functions.iter().map(move |function| (interface, function)));
        let functions = exported.zip(names).map(|((interface, function), named)| {
            let (name, params, error) = named;
            let params = params.into_iter().zip(&function.params).map(|(name, (_, kind))| (name, *kind)).collect();
            let signature = self.world.signature(interface, function);
            let result = function.result;
            Named { name, signature, params, result, error, classes: classes.clone().unbind() }
        });
        let functions = functions.collect();
        let made = Arc::new(Made { plan, world: self.world.clone(), interrupt, functions });
        Ok(Linked { source, made, yours, imports, inline, look })
    }
}

fn callback(interface: &Interface, function: &Function) -> Callback {
    let title = match interface.name.as_str() {
        "" => function.name.clone(),
        name => format!("{name}.{}", function.name),
    };
    let params = function.params.iter().map(|(_, kind)| *kind).collect();
    Callback { title: ringfence::text::quote(&title), params, result: function.result }
}

/// Whether a resource has a method of the guest's to call that is called `drop`.
fn has_drop(world: &World, resource: &Resource) -> bool {
    let interface = world.imports.iter().find(|interface| interface.name == resource.interface);
    let name = format!("[method]{}.drop", resource.name);
    interface.is_some_and(|interface| interface.functions.iter().any(|function| function.name == name))
}

fn described<'py>(py: Python<'py>, shape: &Shape) -> PyResult<Bound<'py, PyTuple>> {
    let number = |kind: &TypeId| kind.0;
    let optional = |kind: &Option<TypeId>| kind.map(|kind| kind.0);
    match shape {
        Shape::Bool => ("bool",).into_pyobject(py),
        Shape::Number(of) => (of.name(),).into_pyobject(py),
        Shape::Char => ("char",).into_pyobject(py),
        Shape::String => ("string",).into_pyobject(py),
        Shape::List(item) => ("list", number(item)).into_pyobject(py),
        Shape::Fixed(item, len) => ("fixed", number(item), *len).into_pyobject(py),
        Shape::Map(key, value) => ("map", number(key), number(value)).into_pyobject(py),
        Shape::Record(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, kind)| (name.as_str(), number(kind))).collect();
            ("record", fields).into_pyobject(py)
        }
        Shape::Tuple(kinds) => ("tuple", kinds.iter().map(number).collect::<Vec<_>>()).into_pyobject(py),
        Shape::Variant(cases) => {
            let cases: Vec<_> = cases.iter().map(|(name, kind)| (name.as_str(), optional(kind))).collect();
            ("variant", cases).into_pyobject(py)
        }
        Shape::Enum(names) => ("enum", names.clone()).into_pyobject(py),
        Shape::Flags(names) => ("flags", names.clone()).into_pyobject(py),
        Shape::Stream(item) => ("stream", optional(item)).into_pyobject(py),
        Shape::Future(item) => ("future", optional(item)).into_pyobject(py),
        Shape::Option(inner) => ("option", number(inner)).into_pyobject(py),
        Shape::Result(ok, error) => ("result", optional(ok), optional(error)).into_pyobject(py),
        Shape::Own(resource) => ("own", *resource).into_pyobject(py),
        Shape::Borrow(resource) => ("borrow", *resource).into_pyobject(py),
    }
}

fn interfaces<'py>(py: Python<'py>, world: &World, interfaces: &[Interface]) -> PyResult<Bound<'py, PyList>> {
    let told = interfaces.iter().map(|interface| {
        let functions = interface.functions.iter().map(|function| {
            let params: Vec<_> = function.params.iter().map(|(name, kind)| (name.as_str(), kind.0)).collect();
            let signature = world.signature(interface, function);
            (function.name.as_str(), params, function.result.map(|kind| kind.0), signature)
        });
        let types: Vec<_> = interface.types.iter().map(|(name, kind)| (name.as_str(), kind.0)).collect();
        (interface.name.as_str(), functions.collect::<Vec<_>>(), types)
    });
    PyList::new(py, told.collect::<Vec<_>>())
}
