//! What a guest has used up, and what it was refused.

use std::fmt;
use std::time::{Duration, Instant};

use wasmtime::{ResourceLimiter, UpdateDeadline};

use crate::engine::TICK;
use crate::{Limits, Usage};

/// A limit that an attempt ran into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Bytes of linear memory: what was wanted in all, what is allowed.
    Memory(usize, usize),
    /// Table elements: what was wanted in all, what is allowed.
    Tables(usize, usize),
    /// The guest's own computing time.
    Cpu(Duration),
    /// Instructions.
    Fuel(u64),
    /// The whole attempt's time, waiting included.
    Time(Duration),
    /// Calls to the host.
    HostCalls(u64),
    /// Bytes in one call to the host.
    CallBytes(usize),
    /// Effects.
    Effects(u32),
    /// Bytes of answers.
    Answers(u64),
    /// Handles at once.
    Handles(usize),
    /// Documents in the making at once.
    Writers(usize),
    /// Nested calls.
    Stack,
}

impl Limit {
    /// The failure's code; stable.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Memory(..) => "memory",
            Self::Tables(..) => "tables",
            Self::Cpu(_) => "cpu",
            Self::Fuel(_) => "fuel",
            Self::Time(_) => "timeout",
            Self::HostCalls(_) => "host-calls",
            Self::CallBytes(_) => "call-bytes",
            Self::Effects(_) => "effects",
            Self::Answers(_) => "answer-bytes",
            Self::Handles(_) => "handles",
            Self::Writers(_) => "writers",
            Self::Stack => "stack",
        }
    }

    /// What a person can do about it.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Time(_) => "raise the step's `timeout`, or give it less to do",
            Self::Memory(..) => {
                "give the step less to do at once; the plugin should pass documents on instead of \
                 reading them whole"
            }
            _ => "give the step less to do at once, or ask the plugin's author",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(wanted, limit) => {
                write!(
                    f,
                    "the plugin wanted {wanted} bytes of memory; {limit} are allowed"
                )
            }
            Self::Tables(wanted, limit) => {
                write!(
                    f,
                    "the plugin wanted {wanted} table elements; {limit} are allowed"
                )
            }
            Self::Cpu(limit) => {
                write!(
                    f,
                    "the plugin computed for more than {limit:?} without an end"
                )
            }
            Self::Fuel(limit) => write!(f, "the plugin used more than {limit} units of fuel"),
            Self::Time(limit) => write!(f, "the step took longer than its timeout of {limit:?}"),
            Self::HostCalls(limit) => {
                write!(f, "the plugin called the host more than {limit} times")
            }
            Self::CallBytes(limit) => {
                write!(
                    f,
                    "the plugin handed the host more than {limit} bytes in one call"
                )
            }
            Self::Effects(limit) => write!(f, "the plugin made more than {limit} requests"),
            Self::Answers(limit) => {
                write!(f, "the plugin took in more than {limit} bytes of answers")
            }
            Self::Handles(limit) => write!(f, "the plugin held more than {limit} handles at once"),
            Self::Writers(limit) => {
                write!(f, "the plugin wrote more than {limit} documents at once")
            }
            Self::Stack => f.write_str("the plugin's calls are nested too deep"),
        }
    }
}

impl std::error::Error for Limit {}

/// Counts for one attempt.
#[derive(Debug)]
pub(crate) struct Meter {
    memory: usize,
    memory_limit: usize,
    tables: usize,
    table_limit: usize,
    cpu: Duration,
    cpu_limit: Duration,
    running_since: Instant,
    host_calls_left: u64,
    host_call_limit: u64,
    /// The last growth that was refused. A guest's allocator answers it with a trap that says
    /// nothing of memory.
    pub(crate) refused: Option<Limit>,
}

impl Meter {
    pub(crate) fn new(limits: &Limits, cpu_limit: Duration) -> Self {
        Self {
            memory: 0,
            memory_limit: limits.memory,
            tables: 0,
            table_limit: limits.table_elements,
            cpu: Duration::ZERO,
            cpu_limit,
            running_since: Instant::now(),
            host_calls_left: limits.host_calls,
            host_call_limit: limits.host_calls,
            refused: None,
        }
    }

    /// What was used up so far; fuel is counted elsewhere.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            fuel: None,
            memory: self.memory,
            host_calls: self.host_call_limit - self.host_calls_left,
            cpu: self.cpu,
        }
    }

    /// A call of the guest has arrived.
    pub(crate) fn host_call(&mut self) -> Result<(), Limit> {
        self.host_calls_left = self
            .host_calls_left
            .checked_sub(1)
            .ok_or(Limit::HostCalls(self.host_call_limit))?;
        Ok(())
    }

    /// The guest stops computing, to wait for the host.
    pub(crate) fn pause(&mut self) {
        self.charge();
    }

    /// The guest computes again.
    pub(crate) fn resume(&mut self) {
        self.running_since = Instant::now();
    }

    /// Called on every tick that meets the guest computing.
    pub(crate) fn tick(&mut self) -> Result<UpdateDeadline, Limit> {
        self.charge();
        if self.cpu > self.cpu_limit {
            return Err(Limit::Cpu(self.cpu_limit));
        }
        Ok(UpdateDeadline::Yield(1))
    }

    /// Counts the time since the guest was last seen. It is seen on every tick, so a longer time was
    /// not its own: it stood in the queue behind others.
    fn charge(&mut self) {
        let now = Instant::now();
        self.cpu += now.duration_since(self.running_since).min(TICK * 2);
        self.running_since = now;
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.memory_limit {
            self.refused = Some(Limit::Memory(total, self.memory_limit));
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.tables.saturating_add(desired.saturating_sub(current));
        if total > self.table_limit {
            self.refused = Some(Limit::Tables(total, self.table_limit));
            return Ok(false);
        }
        self.tables = total;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_all_memories_and_tables() {
        let limits = Limits {
            memory: 100,
            table_elements: 10,
            ..Limits::default()
        };
        let mut meter = Meter::new(&limits, Duration::ZERO);
        let mut check =
            |current, desired, is_table: bool, expected: bool, refused: Option<Limit>| {
                let answer = if is_table {
                    meter.table_growing(current, desired, None)
                } else {
                    meter.memory_growing(current, desired, None)
                };
                assert_eq!(answer.expect("never traps"), expected);
                assert_eq!(meter.refused, refused);
            };
        check(0, 60, false, true, None);
        check(0, 41, false, false, Some(Limit::Memory(101, 100)));
        check(0, 40, false, true, Some(Limit::Memory(101, 100)));
        check(0, 10, true, true, Some(Limit::Memory(101, 100)));
        check(
            10,
            usize::MAX,
            true,
            false,
            Some(Limit::Tables(usize::MAX, 10)),
        );
    }

    #[test]
    fn counts_calls_to_the_last() {
        let limits = Limits {
            host_calls: 2,
            ..Limits::default()
        };
        let mut meter = Meter::new(&limits, Duration::ZERO);
        assert_eq!(meter.host_call(), Ok(()));
        assert_eq!(meter.host_call(), Ok(()));
        assert_eq!(meter.host_call(), Err(Limit::HostCalls(2)));
    }

    #[test]
    fn waiting_is_not_computing() {
        let limits = Limits::default();
        let mut meter = Meter::new(&limits, TICK * 5);
        let hour = Duration::from_secs(3600);
        // Waits for an hour, many times over.
        for _ in 0..100 {
            meter.pause();
            meter.running_since -= hour;
            meter.resume();
        }
        assert!(matches!(meter.tick(), Ok(UpdateDeadline::Yield(1))));
        // Stands in the queue for an hour: no more than two ticks each are its own.
        for _ in 0..2 {
            meter.running_since -= hour;
            assert!(meter.tick().is_ok(), "{:?}", meter.cpu);
        }
        meter.running_since -= hour;
        assert!(matches!(meter.tick(), Err(Limit::Cpu(_))));
    }
}
