//! The types of a plugin's values: each shape once, so that a type that doubles itself thirty times has thirty shapes.

use std::collections::HashMap;

use wasmtime::component::{ResourceType, types};

use super::layout::Layout;
use super::streams::Element;
use super::values_unsafe::MAX_FLAT;
use crate::load::{Named, TypeNames};
use crate::text;

/// Shapes that a plugin may have. A large interface has some hundreds.
const MAX_SHAPES: usize = 10_000;

/// What classes may cost to make, which is done for each when a plugin is loaded: about 0.2 ms for a case of a variant, which
/// has one of its own, less for a field, least for a name of an enum or flags. A large interface costs some hundreds.
const MAX_COST: usize = 20_000;

/// Looks at parts of types, each as often as it is mentioned: what doubles itself thirty times is not a type of ours.
const MAX_LOOKS: usize = 200_000;

/// Types of resources that a plugin may have.
const MAX_RESOURCES: usize = 1000;

/// Types inside one another, which is as far as wasmtime's own validation lets them go.
const MAX_DEPTH: usize = 100;

/// Longest name of anything, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 200;

/// A type of this plugin, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// What values of a type look like. Names are the component's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Shape {
    Bool,
    Number(Number),
    Char,
    String,
    List(TypeId),
    /// A list of exactly so many.
    Fixed(TypeId, u32),
    Map(TypeId, TypeId),
    Record(Vec<(String, TypeId)>),
    Tuple(Vec<TypeId>),
    Variant(Vec<(String, Option<TypeId>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    Option(TypeId),
    Result(Option<TypeId>, Option<TypeId>),
    /// A resource, by its place in [`Types::resources`].
    Own(u32),
    Borrow(u32),
    /// Values that come one after the other; of nothing where they only come.
    Stream(Option<TypeId>),
    /// A value that comes later.
    Future(Option<TypeId>),
}

/// A type of resources.
#[derive(Clone, Debug)]
pub struct Resource {
    /// What the component calls it.
    pub name: String,
    /// The interface that it is of.
    pub interface: String,
    /// Whether the host makes them; otherwise the guest does.
    pub is_hosts: bool,
    kind: ResourceType,
}

/// A type of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Number {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    /// Of a core module, whose numbers have no sign: either is taken, and the signed one is given.
    I32,
    I64,
}

impl Number {
    /// The word of WIT, or of core modules.
    pub fn name(self) -> &'static str {
        match self {
            Self::S8 => "s8",
            Self::U8 => "u8",
            Self::S16 => "s16",
            Self::U16 => "u16",
            Self::S32 => "s32",
            Self::U32 => "u32",
            Self::S64 => "s64",
            Self::U64 => "u64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I32 => "i32",
            Self::I64 => "i64",
        }
    }

    /// Bytes of one in memory.
    pub fn size(self) -> usize {
        match self {
            Self::S8 | Self::U8 => 1,
            Self::S16 | Self::U16 => 2,
            Self::S32 | Self::U32 | Self::F32 | Self::I32 => 4,
            Self::S64 | Self::U64 | Self::F64 | Self::I64 => 8,
        }
    }

    /// The least and the greatest, of whole numbers.
    pub fn range(self) -> Option<(i128, i128)> {
        Some(match self {
            Self::S8 => (i8::MIN.into(), i8::MAX.into()),
            Self::U8 => (0, u8::MAX.into()),
            Self::S16 => (i16::MIN.into(), i16::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::S32 => (i32::MIN.into(), i32::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::S64 => (i64::MIN.into(), i64::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
            Self::I32 => (i32::MIN.into(), u32::MAX.into()),
            Self::I64 => (i64::MIN.into(), u64::MAX.into()),
            Self::F32 | Self::F64 => return None,
        })
    }
}

/// Why a type is not taken; in words.
pub(super) type Refusal = String;

/// Every type of a plugin.
#[derive(Clone, Debug, Default)]
pub struct Types {
    shapes: Vec<Shape>,
    layouts: Vec<Layout>,
    /// By which of the component's types it is, where that has a class of its own, and its shape.
    known: HashMap<(Option<u32>, Shape), TypeId>,
    /// The same by the type's number: the interface that defines it, empty for the world, and what that calls it.
    names: Vec<Option<(String, String)>>,
    identities: Vec<Option<u32>>,
    looks: usize,
    cost: usize,
    resources: Vec<Resource>,
}

impl Types {
    /// What values of that type look like.
    pub fn shape(&self, id: TypeId) -> &Shape {
        // Every number was given out here.
        self.shapes.get(id.0 as usize).unwrap_or(&Shape::Bool)
    }

    /// All of them, each after those it is made of.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Its types of resources.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource that values of this type own, and its number.
    pub fn owned(&self, id: TypeId) -> Option<(u32, &Resource)> {
        let Shape::Own(at) = self.shape(id) else { return None };
        Some((*at, self.resources.get(*at as usize)?))
    }

    /// Adds a type of resources, unless it is there under another name; what owns one.
    pub(super) fn resource(
        &mut self,
        (interface, name): (&str, String),
        kind: ResourceType,
        is_hosts: bool,
    ) -> Result<TypeId, Refusal> {
        let known = self.resources.iter().position(|known| known.kind == kind);
        let at = known.unwrap_or(self.resources.len());
        if known.is_none() {
            if at >= MAX_RESOURCES {
                return Err("more types of resources than a plugin may have".into());
            }
            self.resources.push(Resource { name, interface: interface.to_owned(), is_hosts, kind });
        }
        self.shaped(Shape::Own(at as u32))
    }

    fn resource_of(&self, kind: ResourceType) -> Result<u32, Refusal> {
        let known = self.resources.iter().position(|known| known.kind == kind);
        known.map(|at| at as u32).ok_or_else(|| "a resource of WASI, which only the plugin and WASI can hold".into())
    }

    pub(super) fn add(&mut self, kind: &types::Type, named: Named<'_>) -> Result<TypeId, Refusal> {
        self.add_at(kind, named, 0)
    }

    fn add_at(&mut self, kind: &types::Type, named: Named<'_>, depth: usize) -> Result<TypeId, Refusal> {
        self.looks += 1;
        if depth > MAX_DEPTH || self.looks > MAX_LOOKS || self.shapes.len() >= MAX_SHAPES {
            return Err("its types are too large".into());
        }
        let below = depth + 1;
        let number = |number| Ok(Shape::Number(number));
        let shape: Result<Shape, Refusal> = match kind {
            types::Type::Bool => Ok(Shape::Bool),
            types::Type::S8 => number(Number::S8),
            types::Type::U8 => number(Number::U8),
            types::Type::S16 => number(Number::S16),
            types::Type::U16 => number(Number::U16),
            types::Type::S32 => number(Number::S32),
            types::Type::U32 => number(Number::U32),
            types::Type::S64 => number(Number::S64),
            types::Type::U64 => number(Number::U64),
            types::Type::Float32 => number(Number::F32),
            types::Type::Float64 => number(Number::F64),
            types::Type::Char => Ok(Shape::Char),
            types::Type::String => Ok(Shape::String),
            types::Type::List(list) => Ok(Shape::List(self.add_at(&list.ty(), named.part(0), below)?)),
            types::Type::Record(record) => {
                let fields = record.fields().enumerate();
                let fields =
                    fields.map(|(at, field)| Ok((name(field.name)?, self.add_at(&field.ty, named.part(at), below)?)));
                Ok(Shape::Record(fields.collect::<Result<_, Refusal>>()?))
            }
            types::Type::Tuple(tuple) => {
                let kinds = tuple.types().enumerate().map(|(at, kind)| self.add_at(&kind, named.part(at), below));
                Ok(Shape::Tuple(kinds.collect::<Result<_, _>>()?))
            }
            types::Type::Variant(variant) => {
                let cases = variant
                    .cases()
                    .enumerate()
                    .map(|(at, case)| Ok((name(case.name)?, self.optional(case.ty.as_ref(), named.part(at), below)?)));
                Ok(Shape::Variant(cases.collect::<Result<_, Refusal>>()?))
            }
            types::Type::Enum(of) => Ok(Shape::Enum(of.names().map(name).collect::<Result<_, _>>()?)),
            types::Type::Flags(of) => Ok(Shape::Flags(of.names().map(name).collect::<Result<_, _>>()?)),
            types::Type::Option(option) => Ok(Shape::Option(self.add_at(&option.ty(), named.part(0), below)?)),
            types::Type::Result(result) => {
                let ok = self.optional(result.ok().as_ref(), named.part(0), below)?;
                Ok(Shape::Result(ok, self.optional(result.err().as_ref(), named.part(1), below)?))
            }
            types::Type::Own(kind) => Ok(Shape::Own(self.resource_of(*kind)?)),
            types::Type::Borrow(kind) => Ok(Shape::Borrow(self.resource_of(*kind)?)),
            types::Type::Future(future) => {
                let item = self.optional(future.ty().as_ref(), named.part(0), below)?;
                self.element(item).map(|_| Shape::Future(item)).ok_or_else(|| "a future of what none can be of".into())
            }
            types::Type::Stream(stream) => {
                let item = self.optional(stream.ty().as_ref(), named.part(0), below)?;
                self.element(item).map(|_| Shape::Stream(item)).ok_or_else(|| "a stream of what none can be of".into())
            }
            types::Type::ErrorContext => Err("an error context".into()),
            types::Type::Map(map) => {
                let key = self.add_at(&map.key(), named.part(0), below)?;
                Ok(Shape::Map(key, self.add_at(&map.value(), named.part(1), below)?))
            }
            types::Type::FixedLengthList(list) => {
                Ok(Shape::Fixed(self.add_at(&list.ty(), named.part(0), below)?, list.len()))
            }
        };
        self.numbered(named.identity(), shape?)
    }

    /// The number of a shape, whose parts have theirs.
    pub(super) fn shaped(&mut self, shape: Shape) -> Result<TypeId, Refusal> {
        self.numbered(None, shape)
    }

    /// What the interface that defines a type calls it, and that interface, if it has a name.
    pub fn called(&self, id: TypeId) -> Option<(&str, &str)> {
        let (interface, name) = self.names.get(id.0 as usize)?.as_ref()?;
        Some((interface, name))
    }

    /// Notes what all of them are called.
    pub(super) fn call(&mut self, names: &TypeNames) {
        let named = |(interface, name): (&str, &str)| (interface.to_owned(), name.to_owned());
        self.names =
            self.identities.iter().map(|identity| identity.and_then(|of| names.identity(of)).map(named)).collect();
    }

    fn numbered(&mut self, identity: Option<u32>, shape: Shape) -> Result<TypeId, Refusal> {
        let has_class = matches!(shape, Shape::Record(_) | Shape::Variant(_) | Shape::Enum(_) | Shape::Flags(_));
        let key = (identity.filter(|_| has_class), shape);
        if let Some(id) = self.known.get(&key) {
            return Ok(*id);
        }
        let (identity, shape) = &key;
        self.cost += match shape {
            Shape::Record(fields) => 2 * fields.len(),
            Shape::Variant(cases) => 5 * cases.len(),
            Shape::Enum(names) | Shape::Flags(names) => names.len(),
            _ => 0,
        };
        if self.cost > MAX_COST {
            return Err("more cases, fields and names in its types than a plugin may have".into());
        }
        let id = TypeId(u32::try_from(self.shapes.len()).map_err(|_| "its types are too large")?);
        self.layouts.push(Layout::of(shape, &self.layouts));
        self.shapes.push(shape.clone());
        self.identities.push(*identity);
        self.known.insert(key, id);
        Ok(id)
    }

    fn optional(
        &mut self,
        kind: Option<&types::Type>,
        named: Named<'_>,
        depth: usize,
    ) -> Result<Option<TypeId>, Refusal> {
        kind.map(|kind| self.add_at(kind, named, depth)).transpose()
    }

    /// How many numbers a function takes and gives directly; none where there are more than fit.
    pub(super) fn flat_counts(&self, params: impl Iterator<Item = TypeId>, result: Option<TypeId>) -> (usize, usize) {
        let takes = self.flat_sum(params);
        let gives = self.flat_sum(result.into_iter());
        (if takes > MAX_FLAT { 0 } else { takes }, usize::from(gives == 1))
    }

    /// How many numbers an async function gives, where they fit; otherwise where they are.
    pub(super) fn count(&self, result: Option<TypeId>) -> usize {
        let count = self.flat_sum(result.into_iter());
        if count > MAX_FLAT { 1 } else { count }
    }

    /// Their sum, as far as it matters: what has too many is not looked at further, however large it is.
    fn flat_sum(&self, kinds: impl Iterator<Item = TypeId>) -> usize {
        let mut sum = 0;
        for kind in kinds {
            sum = self.flat(kind).saturating_add(sum);
            if sum > MAX_FLAT {
                break;
            }
        }
        sum
    }

    fn flat_most(&self, kinds: impl Iterator<Item = TypeId>) -> usize {
        let mut most = 0;
        for kind in kinds {
            most = self.flat(kind).max(most);
            if most > MAX_FLAT {
                break;
            }
        }
        most
    }

    fn flat(&self, kind: TypeId) -> usize {
        match self.shape(kind) {
            Shape::Bool | Shape::Number(_) | Shape::Char | Shape::Enum(_) => 1,
            Shape::Own(_) | Shape::Borrow(_) | Shape::Stream(_) | Shape::Future(_) => 1,
            Shape::String | Shape::List(_) | Shape::Map(..) => 2,
            Shape::Fixed(kind, len) => self.flat(*kind).saturating_mul(*len as usize).min(MAX_FLAT + 1),
            Shape::Record(fields) => self.flat_sum(fields.iter().map(|(_, kind)| *kind)),
            Shape::Tuple(kinds) => self.flat_sum(kinds.iter().copied()),
            Shape::Variant(cases) => 1 + self.flat_most(cases.iter().filter_map(|(_, kind)| *kind)),
            Shape::Flags(names) => names.len().div_ceil(32),
            Shape::Option(kind) => 1 + self.flat(*kind),
            Shape::Result(ok, error) => 1 + self.flat_most([*ok, *error].into_iter().flatten()),
        }
    }

    /// What a stream or a future is of, where one can be of that.
    pub fn element(&self, item: Option<TypeId>) -> Option<Element> {
        let Some(item) = item else { return Some(Element::Nothing) };
        match (self.shape(item), self.layouts.get(item.0 as usize)?) {
            (Shape::Number(number), _) => Some(Element::Number(*number)),
            (_, layout) if layout.is_plain => Element::other(layout.size, layout.align),
            _ => None,
        }
    }

    /// Whether anything of it is a stream or a future.
    pub fn have_streams(&self) -> bool {
        self.shapes.iter().any(|shape| matches!(shape, Shape::Stream(_) | Shape::Future(_)))
    }

    /// The numbers that a list is a row of, if it is one.
    pub fn numbers(&self, item: TypeId) -> Option<Number> {
        match self.shape(item) {
            Shape::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// A name that may be made one of Python's.
pub(super) fn name(name: &str) -> Result<String, Refusal> {
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("a name that is {} bytes long, `{}`", name.len(), text::cut(name, 40)));
    }
    Ok(name.to_owned())
}
