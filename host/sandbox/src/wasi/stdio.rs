//! `wasi:cli` and the streams of `wasi:io`: an environment with nothing in it, and standard output and
//! error that go to the run's log, a line at a time.

use docket_engine::LogLevel;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};
use wasmtime::{StoreContextMut, format_err};

use super::{counted, time};
use crate::attempt::Attempt;

/// An unfinished line that is longer is passed on as it is.
const LINE_AT_MOST: usize = 8 << 10;
/// How much of standard error is kept to tell why a guest crashed.
const LAST_WORDS_AT_MOST: usize = 4 << 10;
/// Bytes that are taken in at once.
const PIECE: usize = 64 << 10;
/// Bytes that one `write` should have; what `check-write` says.
const WRITE_AT_MOST: u64 = PIECE as u64;

/// Standard input, which is closed.
pub(super) struct Input;
/// Standard output or error, by [`STDOUT`] and [`STDERR`] as their number.
pub(super) struct Output;
/// Why a stream failed; none ever does.
pub(super) struct StreamFault;
/// There is no terminal.
pub(super) struct Terminal;
/// There is no directory.
pub(super) struct Directory;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[allow(dead_code, reason = "the interface has it, and no stream here fails")]
    LastOperationFailed(Resource<StreamFault>),
    #[component(name = "closed")]
    Closed,
}

/// What was written and is not passed on yet.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    out: Vec<u8>,
    err: Vec<u8>,
    /// The end of what was written to standard error.
    last_words: Vec<u8>,
}

impl Stdio {
    /// The end of standard error: where a toolchain's runtime says why it gives up.
    pub(crate) fn last_words(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.last_words);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Takes in what was written, and gives the lines that are whole.
    fn write(&mut self, stream: u32, bytes: &[u8]) -> Vec<(LogLevel, String)> {
        if stream == STDERR {
            self.last_words.extend_from_slice(bytes);
            let excess = self.last_words.len().saturating_sub(LAST_WORDS_AT_MOST);
            self.last_words.drain(..excess);
        }
        let (level, held) = match stream {
            STDERR => (LogLevel::Warn, &mut self.err),
            _ => (LogLevel::Info, &mut self.out),
        };
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            held.extend_from_slice(line);
            lines.push((level, text(held)));
            held.clear();
            rest = after;
        }
        held.extend_from_slice(rest);
        if held.len() > LINE_AT_MOST {
            lines.push((level, text(held)));
            held.clear();
        }
        lines
    }

    /// The unfinished lines, when the attempt is over.
    fn rest(&mut self) -> Vec<(LogLevel, String)> {
        let rest = [
            (LogLevel::Info, &mut self.out),
            (LogLevel::Warn, &mut self.err),
        ];
        rest.into_iter()
            .filter(|(_, held)| !held.is_empty())
            .map(|(level, held)| (level, text(&std::mem::take(held))))
            .collect()
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end().to_owned()
}

impl Attempt {
    /// Passes on the lines that the guest did not finish.
    pub(crate) fn flush_stdio(&mut self) {
        for (level, line) in self.wasi.stdio.rest() {
            self.say(level, &line);
        }
    }

    fn write_out(&mut self, stream: u32, bytes: &[u8]) {
        // By the piece: a guest may hand over many megabytes of line ends at once.
        for piece in bytes.chunks(PIECE) {
            for (level, line) in self.wasi.stdio.write(stream, piece) {
                self.say(level, &line);
            }
        }
    }
}

type Written = Result<(), StreamError>;

/// Defines a function of `wasi:cli`, `wasi:io/streams` or `wasi:filesystem/preopens`; says whether it
/// is one.
pub(super) fn function(
    instance: &mut LinkerInstance<'_, Attempt>,
    interface: &str,
    name: &str,
) -> wasmtime::Result<bool> {
    match interface {
        "io/streams" => return stream(instance, name),
        "cli/environment" | "cli/exit" => return environment(instance, name),
        _ => {}
    }
    match name {
        "get-stdin" => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                counted(&mut store)?;
                Ok((Resource::<Input>::new_own(0),))
            })?
        }
        "get-stdout" => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                counted(&mut store)?;
                Ok((Resource::<Output>::new_own(STDOUT),))
            })?
        }
        "get-stderr" => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                counted(&mut store)?;
                Ok((Resource::<Output>::new_own(STDERR),))
            })?
        }
        "get-terminal-stdin" | "get-terminal-stdout" | "get-terminal-stderr" => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                counted(&mut store)?;
                Ok((None::<Resource<Terminal>>,))
            })?;
        }
        "get-directories" => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                counted(&mut store)?;
                Ok((Vec::<(Resource<Directory>, String)>::new(),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn environment(instance: &mut LinkerInstance<'_, Attempt>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "get-environment" => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                counted(&mut store)?;
                Ok((Vec::<(String, String)>::new(),))
            })?;
        }
        "get-arguments" => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                counted(&mut store)?;
                Ok((Vec::<String>::new(),))
            })?;
        }
        "initial-cwd" => {
            instance.func_wrap(name, |mut store: StoreContextMut<'_, Attempt>, (): ()| {
                counted(&mut store)?;
                Ok((None::<String>,))
            })?;
        }
        "exit" => {
            instance.func_wrap(
                name,
                |_: StoreContextMut<'_, Attempt>,
                 (status,): (Result<(), ()>,)|
                 -> wasmtime::Result<()> {
                    let how = if status.is_ok() { "success" } else { "failure" };
                    Err(format_err!("the plugin ended itself by `exit`, with {how}"))
                },
            )?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn stream(instance: &mut LinkerInstance<'_, Attempt>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Attempt>, _: (Resource<Input>, u64)| {
                    counted(&mut store)?;
                    Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
                },
            )?;
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Attempt>, _: (Resource<Input>, u64)| {
                    counted(&mut store)?;
                    Ok((Err::<u64, _>(StreamError::Closed),))
                },
            )?;
        }
        "[method]input-stream.subscribe" => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Attempt>, _: (Resource<Input>,)| {
                    Ok((time::due_now(counted(&mut store)?)?,))
                },
            )?;
        }
        "[method]output-stream.subscribe" => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Attempt>, _: (Resource<Output>,)| {
                    Ok((time::due_now(counted(&mut store)?)?,))
                },
            )?;
        }
        "[method]output-stream.check-write" => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Attempt>, _: (Resource<Output>,)| {
                    counted(&mut store)?;
                    Ok((Ok::<_, StreamError>(WRITE_AT_MOST),))
                },
            )?;
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Attempt>,
                 (stream, bytes): (Resource<Output>, Vec<u8>)| {
                    counted(&mut store)?.write_out(stream.rep(), &bytes);
                    Ok((Written::Ok(()),))
                },
            )?;
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            instance.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Attempt>, _: (Resource<Output>,)| {
                    counted(&mut store)?;
                    Ok((Written::Ok(()),))
                },
            )?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_passed_on_whole() {
        let mut stdio = Stdio::default();
        assert!(stdio.write(STDOUT, b"a").is_empty());
        let lines = stdio.write(STDOUT, b"b\r\nc\nd");
        let texts: Vec<_> = lines.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["ab", "c"]);
        assert!(stdio.write(STDERR, b"Traceback").is_empty());
        let rest = stdio.rest();
        assert_eq!(
            rest,
            [
                (LogLevel::Info, "d".to_owned()),
                (LogLevel::Warn, "Traceback".to_owned())
            ]
        );
        assert_eq!(stdio.last_words().as_deref(), Some("Traceback"));
        assert_eq!(stdio.write(STDOUT, &[b'x'; 9000]).len(), 1);
    }

    #[test]
    fn many_lines_take_their_number_and_not_its_square() {
        let mut stdio = Stdio::default();
        let long = vec![b'\n'; 1 << 20];
        // Where the rest moves up for each line, this takes minutes, and 16 times as much takes hours.
        assert_eq!(stdio.write(STDERR, &long).len(), long.len());
    }
}
