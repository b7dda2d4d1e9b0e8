//! What is done with plugins outside of runs: they are made, checked and tested by their makers, and
//! pinned and fetched by operators.
//!
//! [`mod@test`] runs cases against scripted servers, and holds plugins to what every one must keep: the
//! same call does the same, and an unsafe request whose reply is missing is looked up before it is
//! sent again. [`pin`] knows what was approved of each plugin, and what an update asks for beyond it.
//! [`template`] writes new projects.
//!
//! This room runs no workflow, decides nothing about a run, and knows neither wasmtime nor an HTTP
//! client: components run in the sandbox, and are fetched by connections.

pub mod pin;
pub mod template;
pub mod test;
