//! What is repeated, where, and what that costs.
