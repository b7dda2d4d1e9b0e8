//! Inert WASI (0.2), for guests whose toolchain imports it whether they use it or not.
//!
//! Nothing ambient comes in by it. The clock stands still at the attempt's start and moves only when
//! the guest sleeps, which takes no real time; random numbers are a function of the idempotency key;
//! the environment, the arguments and the file system are empty; standard output and error go to the
//! run's log; sockets and names are refused. So a guest with WASI is a function of its call and of the
//! recorded effects, as one without it is.
//!
//! Functions that would need something that a plugin cannot hold, a file say, end the attempt with a
//! message that names them. `wasi:http` is not served at all: requests go by `docket:processor/http`,
//! where the policy looks at them.

mod random;
mod stdio;
mod time;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType, Val};
use wasmtime::{StoreContextMut, format_err};

use crate::attempt::Attempt;

pub(crate) use self::random::Chance;
pub(crate) use self::stdio::Stdio;
pub(crate) use self::time::StillClock;

/// The packages that are served.
const PACKAGES: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];

/// What a guest's WASI holds between calls.
#[derive(Debug)]
pub(crate) struct Wasi {
    pub(crate) clock: StillClock,
    pub(crate) chance: Chance,
    pub(crate) stdio: Stdio,
}

impl Wasi {
    /// For an attempt that started at this time, in milliseconds since the Unix epoch.
    pub(crate) fn new(started_at: u64, idempotency_key: &str) -> Self {
        Self {
            clock: StillClock::new(started_at),
            chance: Chance::new(idempotency_key),
            stdio: Stdio::default(),
        }
    }
}

/// Whether an import is one of WASI that is served: `wasi:io/streams@0.2.3`.
pub(crate) fn is_served(import: &str) -> bool {
    let Some((package, rest)) = import
        .strip_prefix("wasi:")
        .and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let version = rest
        .split_once('@')
        .and_then(|(_, version)| semver::Version::parse(version).ok());
    PACKAGES.contains(&package)
        && version.is_some_and(|version| {
            (version.major, version.minor) == (0, 2) && version.pre.is_empty()
        })
}

/// Defines what a component imports of WASI, under the very versions that it names.
///
/// # Errors
/// An import that is no function and no resource, which WASI has none of.
pub(crate) fn link(linker: &mut Linker<Attempt>, component: &Component) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        if !is_served(name) {
            continue;
        }
        let ComponentItem::ComponentInstance(interface) = import.ty else {
            return Err(format_err!("`{name}` is no interface"));
        };
        let mut instance = linker.instance(name)?;
        let short = short(name);
        for (item, export) in interface.exports(&engine) {
            match export.ty {
                ComponentItem::Resource(_) => resource(&mut instance, item)?,
                ComponentItem::ComponentFunc(_) => function(&mut instance, short, item)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// `io/streams` of `wasi:io/streams@0.2.3`.
fn short(import: &str) -> &str {
    let name = import.strip_prefix("wasi:").unwrap_or(import);
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// Each resource of WASI 0.2 has a name of its own, so that the name is enough. Those that a guest can
/// never get hold of share a type.
fn resource(instance: &mut LinkerInstance<'_, Attempt>, name: &str) -> wasmtime::Result<()> {
    match name {
        "pollable" => time::resource(instance, name),
        "input-stream" => plain::<stdio::Input>(instance, name),
        "output-stream" => plain::<stdio::Output>(instance, name),
        "error" => plain::<stdio::StreamFault>(instance, name),
        "terminal-input" | "terminal-output" => plain::<stdio::Terminal>(instance, name),
        "descriptor" => plain::<stdio::Directory>(instance, name),
        _ => plain::<Nothing>(instance, name),
    }
}

/// What no guest can get hold of.
pub(crate) struct Nothing;

fn plain<T: 'static>(
    instance: &mut LinkerInstance<'_, Attempt>,
    name: &str,
) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<T>(), |_, _| Ok(()))
}

fn function(
    instance: &mut LinkerInstance<'_, Attempt>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<()> {
    if time::function(instance, interface, name)?
        || random::function(instance, interface, name)?
        || stdio::function(instance, interface, name)?
    {
        return Ok(());
    }
    match (interface, name) {
        ("sockets/instance-network", "instance-network") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                counted(&mut store)?;
                Ok((wasmtime::component::Resource::<Nothing>::new_own(0),))
            })
        }
        ("sockets/tcp-create-socket", "create-tcp-socket")
        | ("sockets/udp-create-socket", "create-udp-socket")
        | ("sockets/ip-name-lookup", "resolve-addresses") => {
            instance.func_new(name, |mut store, _, _, results| {
                counted(&mut store)?;
                let denied = Val::Enum("access-denied".to_owned());
                if let Some(result) = results.first_mut() {
                    *result = Val::Result(Err(Some(Box::new(denied))));
                }
                Ok(())
            })
        }
        _ => {
            let called = format!("wasi:{interface}#{name}");
            instance.func_new(name, move |_, _, _, _| {
                Err(format_err!(
                    "the plugin called `{called}`, and plugins have no such thing: what they may \
                     use arrives in the call"
                ))
            })
        }
    }
}

/// Counts a call of the guest, and gives its attempt.
fn counted<'a>(store: &'a mut StoreContextMut<'_, Attempt>) -> wasmtime::Result<&'a mut Attempt> {
    let attempt = store.data_mut();
    attempt.meter.host_call().map_err(wasmtime::Error::new)?;
    Ok(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_what_is_inert_and_nothing_else() {
        for name in [
            "wasi:io/streams@0.2.0",
            "wasi:clocks/wall-clock@0.2.6",
            "wasi:sockets/tcp@0.2.3",
        ] {
            assert!(is_served(name), "{name}");
        }
        for name in [
            "wasi:http/outgoing-handler@0.2.0",
            "wasi:keyvalue/store@0.2.0",
            "wasi:io/streams@0.3.0",
            "wasi:io/streams@0.2.0-rc1",
            "wasi:io/streams",
            "wasi_snapshot_preview1",
            "docket:processor/http@0.1.0",
        ] {
            assert!(!is_served(name), "{name}");
        }
        assert_eq!(short("wasi:io/streams@0.2.3"), "io/streams");
    }
}
