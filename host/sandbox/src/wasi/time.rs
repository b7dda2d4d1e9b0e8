//! Clocks that stand still, and sleeps that take no time.
//!
//! Both clocks show the attempt's start. A sleep moves them on by its length at once, so that a guest
//! which sleeps goes on, and sees that it slept; what it waited for outside did not come nearer. A
//! plugin that has to wait ends with `throttled` or `unavailable`, and the engine waits.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource, ResourceType};

use super::counted;
use crate::attempt::Attempt;

/// What a guest waits for.
pub(super) struct Pollable {
    /// In nanoseconds of the clock that only sleeps move.
    due: u64,
}

/// The clock: the attempt's start, and what was slept since.
#[derive(Debug)]
pub(crate) struct StillClock {
    /// Milliseconds since the Unix epoch.
    started_at: u64,
    /// Nanoseconds.
    slept: u64,
}

impl StillClock {
    pub(crate) fn new(started_at: u64) -> Self {
        Self {
            started_at,
            slept: 0,
        }
    }

    fn wall(&self) -> Datetime {
        let millis = self.started_at.saturating_add(self.slept / 1_000_000);
        Datetime {
            seconds: millis / 1000,
            // Below 10^9, as the remainder of each part is.
            nanoseconds: u32::try_from(millis % 1000 * 1_000_000 + self.slept % 1_000_000)
                .unwrap_or_default(),
        }
    }

    fn sleep_until(&mut self, due: u64) {
        self.slept = self.slept.max(due);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// Defines `wasi:io/poll.pollable`.
pub(super) fn resource(
    instance: &mut LinkerInstance<'_, Attempt>,
    name: &str,
) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<Pollable>(), |mut store, rep| {
        let pollable = Resource::<Pollable>::new_own(rep);
        store.data_mut().table.delete(pollable)?;
        Ok(())
    })
}

/// A pollable that is due at once.
pub(super) fn due_now(attempt: &mut Attempt) -> wasmtime::Result<Resource<Pollable>> {
    attempt.push(Pollable { due: 0 })
}

/// Defines a function of `wasi:clocks` or `wasi:io/poll`; says whether it is one.
pub(super) fn function(
    instance: &mut LinkerInstance<'_, Attempt>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("clocks/wall-clock", "now") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                Ok((counted(&mut store)?.wasi.clock.wall(),))
            })?;
        }
        ("clocks/wall-clock", "resolution") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                counted(&mut store)?;
                let millisecond = Datetime {
                    seconds: 0,
                    nanoseconds: 1_000_000,
                };
                Ok((millisecond,))
            })?;
        }
        ("clocks/monotonic-clock", "now") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                Ok((counted(&mut store)?.wasi.clock.slept,))
            })?;
        }
        ("clocks/monotonic-clock", "resolution") => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                counted(&mut store)?;
                Ok((1_u64,))
            })?;
        }
        ("clocks/monotonic-clock", "subscribe-instant") => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Attempt>, (due,): (u64,)| {
                    Ok((counted(&mut store)?.push(Pollable { due })?,))
                },
            )?;
        }
        ("clocks/monotonic-clock", "subscribe-duration") => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Attempt>, (wait,): (u64,)| {
                    let attempt = counted(&mut store)?;
                    let due = attempt.wasi.clock.slept.saturating_add(wait);
                    Ok((attempt.push(Pollable { due })?,))
                },
            )?;
        }
        ("io/poll", "poll") => instance.func_wrap(name, poll)?,
        ("io/poll", "[method]pollable.ready") => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Attempt>, (pollable,): (Resource<Pollable>,)| {
                    let attempt = counted(&mut store)?;
                    let due = attempt.table.get(&pollable)?.due;
                    Ok((due <= attempt.wasi.clock.slept,))
                },
            )?;
        }
        ("io/poll", "[method]pollable.block") => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Attempt>, (pollable,): (Resource<Pollable>,)| {
                    let attempt = counted(&mut store)?;
                    let due = attempt.table.get(&pollable)?.due;
                    attempt.wasi.clock.sleep_until(due);
                    Ok(())
                },
            )?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Those of a list that are due; where none is, it is slept until the first is.
fn poll(
    mut store: StoreContextMut<'_, Attempt>,
    (pollables,): (Vec<Resource<Pollable>>,),
) -> wasmtime::Result<(Vec<u32>,)> {
    let attempt = counted(&mut store)?;
    let due: Vec<u64> = pollables
        .iter()
        .map(|pollable| attempt.table.get(pollable).map(|pollable| pollable.due))
        .collect::<Result<_, _>>()?;
    let first = due.iter().copied().min();
    let first = first.ok_or_else(|| wasmtime::format_err!("the plugin waits for nothing"))?;
    let clock = &mut attempt.wasi.clock;
    clock.sleep_until(first);
    let ready = (0_u32..)
        .zip(&due)
        .filter(|(_, due)| **due <= clock.slept)
        .map(|(place, _)| place);
    Ok((ready.collect(),))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sleeping_moves_the_clock() {
        let mut clock = StillClock::new(1_795_251_600_123);
        let check = |clock: &StillClock, seconds, nanoseconds| {
            let expected = Datetime {
                seconds,
                nanoseconds,
            };
            assert_eq!(clock.wall(), expected);
        };
        check(&clock, 1_795_251_600, 123_000_000);
        clock.sleep_until(2_900_000_001);
        check(&clock, 1_795_251_603, 23_000_001);
        clock.sleep_until(5);
        check(&clock, 1_795_251_603, 23_000_001);
    }
}
