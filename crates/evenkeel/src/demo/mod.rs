//! stub
use crate::cli::Demo;
use crate::failure::Done;
pub(crate) fn carry_out(_args: &Demo) -> Done {
    Ok(())
}
