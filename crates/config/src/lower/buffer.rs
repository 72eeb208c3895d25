//! `buffer` of a route.

use policy::plan::{Beyond, Buffer};

use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::table::{Table, Value};

/// What `buffer = true` stands for.
const PLAIN: Buffer = Buffer { request: 1 << 20, beyond: Beyond::Stream, response: 256 << 10 };

/// What a route keeps of bodies; `most` is `limits.buffered`. `None` where a note was made.
pub(super) fn buffer(context: &mut Context<'_>, route: &Table, most: Option<usize>) -> Option<Buffer> {
    let buffer = match route.item("buffer").map(|item| &item.value) {
        Some(Value::Flag(true)) => PLAIN,
        Some(Value::Table(table)) => written(context, table)?,
        _ => Buffer::default(),
    };
    let largest = buffer.request.max(buffer.response);
    if let (Some(at), Some(most)) = (route.written("buffer"), most)
        && largest > most
    {
        let message = format!("{largest} bytes of one body are more than `limits.buffered`, which holds all bodies");
        context
            .error(at, Problem::new(code::CONFLICT, message).remedy("buffer less here, or raise `[limits] buffered`"));
        return None;
    }
    Some(buffer)
}

fn written(context: &mut Context<'_>, table: &Table) -> Option<Buffer> {
    let bytes =
        |key: &str| table.size(key).map(|bytes| bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0));
    let (request, response) = (bytes("request")?, bytes("response")?);
    if let Some(at) = table.written("beyond").filter(|_| request == 0) {
        let problem = Problem::new(code::MISSING_KEY, "`beyond` without `request` means nothing");
        context.error(at, problem.remedy("add for instance `request = \"1MiB\"`"));
    }
    let beyond = match table.words("beyond")?.text {
        "refuse" => Beyond::Refuse,
        _ => Beyond::Stream,
    };
    Some(Buffer { request, beyond, response })
}
