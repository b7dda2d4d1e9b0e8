//! JSON as CEL values, without copying: a list or an object is a view that makes the values of its
//! parts when an expression asks for them.

use std::fmt;
use std::slice;
use std::sync::{Arc, OnceLock};

use cel::ExecutionError;
use cel::common::traits::{Adder, Indexer, Iterable, Iterator, Sizer};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelNull, CelString, CelUInt, LIST_TYPE, MAP_TYPE, Type,
};
use cel::common::value::{CowVal, Val};
use serde_json::{Map, Value};

use super::convert;
use super::scope::{StepValue, Steps};

/// A list or an object that an expression sees.
pub(super) struct View<'a> {
    of: Of<'a>,
    /// The elements, or the keys; made when somebody iterates.
    parts: OnceLock<Vec<Box<dyn Val + 'a>>>,
}

#[derive(Clone, Copy)]
enum Of<'a> {
    List(&'a [Value]),
    Object(&'a Map<String, Value>),
    Steps(&'a Steps),
    Step(&'a StepValue),
    Run { id: &'a str, workflow: &'a str },
}

/// The CEL value of a JSON value. Whole numbers stay whole.
pub(super) fn view(value: &Value) -> Box<dyn Val + '_> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Box::new(CelInt::from(number)),
            (None, Some(number)) => Box::new(CelUInt::from(number)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(View::new(Of::List(items))),
        Value::Object(fields) => Box::new(View::new(Of::Object(fields))),
    }
}

impl<'a> View<'a> {
    const fn new(of: Of<'a>) -> Self {
        Self {
            of,
            parts: OnceLock::new(),
        }
    }

    pub(super) const fn steps(steps: &'a Steps) -> Self {
        Self::new(Of::Steps(steps))
    }

    pub(super) const fn run(id: &'a str, workflow: &'a str) -> Self {
        Self::new(Of::Run { id, workflow })
    }

    fn field(&self, name: &str) -> Option<Box<dyn Val + 'a>> {
        match (self.of, name) {
            (Of::Object(fields), _) => fields.get(name).map(view),
            (Of::Steps(steps), _) => steps
                .get(name)
                .map(|step| Box::new(Self::new(Of::Step(step))) as Box<dyn Val>),
            (Of::Step(step), "output") => step.output.as_ref().map(view),
            (Of::Step(step), "failure") => step.failure.as_ref().map(view),
            (Of::Run { id, .. }, "id") => Some(Box::new(CelString::from(id))),
            (Of::Run { workflow, .. }, "workflow") => Some(Box::new(CelString::from(workflow))),
            _ => None,
        }
    }

    fn element(&self, index: &dyn Val) -> Result<Box<dyn Val + 'a>, ExecutionError> {
        if let Of::List(items) = self.of {
            let at = position(index)?;
            let item = at.and_then(|at| items.get(at)).map(view);
            return item.ok_or_else(|| {
                ExecutionError::IndexOutOfBounds(index.try_into().unwrap_or(cel::Value::Null))
            });
        }
        let name = index
            .downcast_ref::<CelString>()
            .ok_or_else(|| wrong_index(index, "string"))?;
        self.field(name.inner())
            .ok_or_else(|| ExecutionError::NoSuchKey(Arc::new(name.inner().to_owned())))
    }

    fn parts(&self) -> &[Box<dyn Val + 'a>] {
        let names = |names: &[&'a str]| -> Vec<Box<dyn Val + 'a>> {
            let one = |name: &&'a str| Box::new(CelString::from(*name)) as Box<dyn Val + 'a>;
            names.iter().map(one).collect()
        };
        self.parts.get_or_init(|| match self.of {
            Of::List(items) => items.iter().map(view).collect(),
            Of::Object(fields) => names(&fields.keys().map(String::as_str).collect::<Vec<_>>()),
            Of::Steps(steps) => names(&steps.keys().map(String::as_str).collect::<Vec<_>>()),
            Of::Step(step) => {
                let present = [("output", &step.output), ("failure", &step.failure)];
                let present = present.into_iter().filter(|(_, value)| value.is_some());
                names(&present.map(|(name, _)| name).collect::<Vec<_>>())
            }
            Of::Run { .. } => names(&["id", "workflow"]),
        })
    }
}

/// The place in a list that an index means; `None` for a negative one. Like CEL's own lists, it may
/// be a number of any type, if it is whole.
fn position(index: &dyn Val) -> Result<Option<usize>, ExecutionError> {
    if let Some(index) = index.downcast_ref::<CelInt>() {
        return Ok(usize::try_from(*index.inner()).ok());
    }
    if let Some(index) = index.downcast_ref::<CelUInt>() {
        return Ok(usize::try_from(*index.inner()).ok());
    }
    match index
        .downcast_ref::<CelDouble>()
        .map(|index| *index.inner())
    {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        Some(index) if index.fract() == 0.0 && index.abs() < 9.0e15 => {
            Ok(usize::try_from(index as i64).ok())
        }
        _ => Err(wrong_index(index, "int")),
    }
}

fn wrong_index(index: &dyn Val, want: &str) -> ExecutionError {
    ExecutionError::UnexpectedType {
        got: index.get_type().name().to_owned(),
        want: want.to_owned(),
    }
}

/// Says what it is and never what it holds.
impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self.of, Of::List(_)) {
            "a list"
        } else {
            "an object"
        })
    }
}

impl Val for View<'_> {
    fn get_type(&self) -> &Type {
        if matches!(self.of, Of::List(_)) {
            &LIST_TYPE
        } else {
            &MAP_TYPE
        }
    }

    /// No overload takes views alone, so that nobody asks; lists and objects have two types.
    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        matches!(self.of, Of::List(_)).then_some(self as _)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        convert::equal(self, other)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(View::new(self.of))
    }
}

impl Indexer for View<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.element(index)
            .map(|value| CowVal::Owned(value as Box<dyn Val + 'v>))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.element(index).map(|value| value as Box<dyn Val + 'v>)
    }
}

impl Iterable for View<'_> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Parts(self.parts().iter()))
    }
}

struct Parts<'b, 'a>(slice::Iter<'b, Box<dyn Val + 'a>>);

impl<'b, 'a: 'v, 'v> Iterator<'b, 'v> for Parts<'b, 'a> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|part| part.as_ref() as &(dyn Val + 'v))
    }
}

impl Sizer for View<'_> {
    fn size(&self) -> CelInt {
        let size = match self.of {
            Of::List(items) => items.len(),
            Of::Object(fields) => fields.len(),
            Of::Steps(_) | Of::Step(_) | Of::Run { .. } => self.parts().len(),
        };
        CelInt::from(i64::try_from(size).unwrap_or(i64::MAX))
    }
}

impl Adder for View<'_> {
    fn add<'b, 'v>(&'b self, other: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let more = other.as_iterable().filter(|_| convert::is_list(other));
        let mut more = more.ok_or_else(|| wrong_index(other, "list"))?.iter();
        let own = self.parts().iter().map(|part| part.clone_as_boxed());
        let mut all: Vec<Box<dyn Val + 'v>> = own.collect();
        while let Some(part) = more.next() {
            all.push(part.clone_as_boxed());
        }
        Ok(CowVal::owned(CelList::from(all)))
    }
}
