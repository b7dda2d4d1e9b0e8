//! What a processor plugin written in Rust is built with.
