//! Field lines.
