//! Retries: what an exchange does after an attempt failed.
