//! A guest that misbehaves on request.
