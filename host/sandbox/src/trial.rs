//! Whether WebAssembly compiles and runs on this machine, whatever plugins there are.

use wasmtime::Store;
use wasmtime::component::{Component, Linker};

use crate::engine::Engine;
use crate::{Limits, LoadError};

/// A component with one function that gives 42:
///
/// ```wat
/// (component
///   (core module (func (export "f") (result i32) i32.const 42))
///   (core instance (instantiate 0))
///   (alias core export 0 "f" (core func))
///   (type (func (result u32)))
///   (func (type 0) (canon lift (core func 0)))
///   (export "answer" (func 0)))
/// ```
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\
    \x01\x22\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x07\x05\x01\x01f\0\0\x0a\x06\x01\x04\0\x41\x2a\x0b\
    \x02\x04\x01\0\0\0\
    \x06\x07\x01\0\0\x01\0\x01f\
    \x07\x05\x01\x40\0\0\x79\
    \x08\x06\x01\0\0\0\0\0\
    \x0b\x0c\x01\0\x06answer\x01\0\0";
const EXPECTED: u32 = 42;

/// Starts an engine as it is for plugins, and compiles and runs a component in it that uses nothing of the
/// host.
///
/// # Errors
/// [`LoadError::Engine`] for a machine where it does not work.
pub async fn try_engine(limits: &Limits) -> Result<(), LoadError> {
    let failed = |error: wasmtime::Error| LoadError::Engine(format!("{error:#}"));
    let engine = Engine::new(limits)?;
    let wasmtime = engine.wasmtime().clone();
    let compiled = tokio::task::spawn_blocking(move || Component::new(&wasmtime, COMPONENT)).await;
    let component = compiled
        .map_err(|error| LoadError::Engine(error.to_string()))?
        .map_err(failed)?;
    let mut store = Store::new(engine.wasmtime(), ());
    if limits.fuel.is_some() {
        store.set_fuel(u64::MAX).map_err(failed)?;
    }
    // Far longer than it takes; the ticker counts.
    store.set_epoch_deadline(1_000);
    let instance = Linker::new(engine.wasmtime())
        .instantiate_async(&mut store, &component)
        .await
        .map_err(failed)?;
    let function = instance
        .get_typed_func::<(), (u32,)>(&mut store, "answer")
        .map_err(failed)?;
    match function.call_async(&mut store, ()).await.map_err(failed)? {
        (EXPECTED,) => Ok(()),
        (other,) => Err(LoadError::Engine(format!(
            "a component that gives {EXPECTED} gave {other}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_component_is_what_is_written_above_it_and_runs() {
        let source = include_str!("trial.rs");
        let text = source.split("```wat\n").nth(1).unwrap();
        let text = text.split("/// ```").next().unwrap().replace("/// ", "");
        assert_eq!(COMPONENT, wat::parse_str(text).unwrap());
        try_engine(&Limits::default()).await.unwrap();
    }
}
