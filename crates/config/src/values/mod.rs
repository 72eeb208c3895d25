//! The forms of strings: text in, a type or a problem with its remedy out.

pub(crate) mod address;
pub(crate) mod cidr;
pub(crate) mod delay;
pub(crate) mod duration;
pub(crate) mod hash_key;
pub(crate) mod host;
pub(crate) mod name;
pub(crate) mod path;
pub(crate) mod pattern;
pub(crate) mod rate;
pub(crate) mod ratio;
pub(crate) mod reply;
pub(crate) mod size;
pub(crate) mod template;
