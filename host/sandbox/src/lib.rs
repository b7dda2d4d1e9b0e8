//! Runs plugins: WebAssembly components with limits and nothing ambient.
