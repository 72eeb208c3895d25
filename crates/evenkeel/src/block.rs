//! `evenkeel block` and `evenkeel unblock`: networks that must go now.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::calendar::{age, span, utc};
use crate::check::pretty;
use crate::cli;
use crate::client::{self, Call};
use crate::columns::Align::{Left, Right};
use crate::columns::Columns;
use crate::failure::{Complaint, Done, Failure};
use crate::output;

const PATH: &str = "/api/v1/blocks";

/// What of `/api/v1/blocks` is shown.
#[derive(Debug, Deserialize)]
struct Blocks {
    blocks: Vec<Block>,
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Block {
    network: String,
    reason: String,
    author: String,
    since_ms: u64,
    until_ms: Option<u64>,
    refused: u64,
}

/// Blocks networks; lists those that are blocked when none is named.
pub(crate) fn block(args: &cli::Block) -> Done {
    if args.networks.is_empty() {
        return list(args);
    }
    let networks: Vec<String> = args.networks.iter().map(ToString::to_string).collect();
    let order = json!({
        "networks": networks,
        "for_ms": args.time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        "reason": args.reason.as_deref().unwrap_or_default(),
        "author": author(),
    });
    let value = client::call(&args.reach, &Call::post(PATH, &order))?;
    if args.form.json {
        output::print(&pretty(&value))?;
        return Ok(());
    }
    let made = read(value)?;
    made.notes.iter().for_each(|note| output::complain(&format!("warning: {note}")));
    let lifted = if made.blocks.len() == 1 { "until it is lifted" } else { "until they are lifted" };
    let time = args.time.map_or(lifted.to_owned(), |time| format!("for {}", span(time)));
    match &made.blocks[..] {
        [one] => output::print(&format!("{} is blocked {time}", one.network))?,
        more => output::print(&format!("{} networks are blocked {time}", more.len()))?,
    }
    Ok(())
}

fn list(args: &cli::Block) -> Done {
    let value = client::ask(&args.reach, PATH)?;
    if args.form.json {
        output::print(&pretty(&value))?;
        return Ok(());
    }
    let blocks = read(value)?.blocks;
    if blocks.is_empty() {
        output::print("no network is blocked")?;
    } else {
        output::print(&table(&blocks, SystemTime::now()))?;
    }
    Ok(())
}

/// Lifts blocks: every one that is there, and tells of those that are not.
pub(crate) fn unblock(args: &cli::Unblock) -> Done {
    let mut lifted = Vec::new();
    let mut refused: Vec<Complaint> = Vec::new();
    if args.all {
        lifted.push(client::call(&args.reach, &Call::delete(format!("{PATH}?all=true")))?);
    }
    for network in &args.networks {
        match client::call(&args.reach, &Call::delete(format!("{PATH}?network={network}"))) {
            Ok(value) => lifted.push(value),
            Err(Failure::Refused(complaint)) => refused.push(complaint),
            Err(failure) => return Err(failure),
        }
    }
    let blocks: Vec<Value> = lifted.iter().filter_map(|value| value["blocks"].as_array()).flatten().cloned().collect();
    if args.form.json {
        output::print(&pretty(&json!({ "blocks": blocks })))?;
    } else {
        tell_lifted(&blocks, args.all)?;
    }
    let Some(last) = refused.pop() else { return Ok(()) };
    refused.iter().for_each(|complaint| output::complain(&complaint.to_string()));
    Err(Failure::Refused(last))
}

fn tell_lifted(blocks: &[Value], all: bool) -> Done {
    if all && blocks.is_empty() {
        output::print("no network is blocked")?;
    }
    for block in blocks {
        let network = block["network"].as_str().unwrap_or_default();
        let refused = block["refused"].as_u64().unwrap_or(0);
        output::print(&format!("{network} is no longer blocked; {refused} refused"))?;
    }
    Ok(())
}

/// Who is at the keyboard, as far as the environment tells.
fn author() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"];
    names.iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty())).unwrap_or_default()
}

fn read(value: Value) -> Result<Blocks, Failure> {
    serde_json::from_value(value).map_err(|error| {
        Failure::refused(
            format!("the answer of the process is not understood: {error}"),
            "it may be of another version (`evenkeel --version`); `--json` shows it as it is",
        )
    })
}

fn table(blocks: &[Block], now: SystemTime) -> String {
    let mut columns = Columns::new(&[
        ("NETWORK", Left),
        ("SINCE", Right),
        ("UNTIL", Left),
        ("REFUSED", Right),
        ("AUTHOR", Left),
        ("REASON", Left),
    ]);
    let shown = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    for block in blocks {
        columns.row([
            block.network.clone(),
            age(block.since_ms, now),
            block.until_ms.map_or("-".to_owned(), utc),
            block.refused.to_string(),
            shown(&block.author),
            shown(&block.reason),
        ]);
    }
    columns.text()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_table_says_who_why_and_until_when() {
        let blocks = read(json!({ "limit": 100_000, "notes": [], "blocks": [
            { "network": "203.0.113.0/24", "reason": "scan\u{1b}[1m", "author": "ann", "since_ms": 1_795_181_199_270_u64,
              "until_ms": 1_795_184_799_270_u64, "refused": 4711 },
            { "network": "2001:db8::/48", "reason": "", "author": "", "since_ms": 1_795_181_199_270_u64,
              "until_ms": null, "refused": 0 },
        ]}))
        .unwrap();
        let now = UNIX_EPOCH + Duration::from_millis(1_795_181_199_270 + 725_000);
        insta::assert_snapshot!(table(&blocks.blocks, now));
    }
}
