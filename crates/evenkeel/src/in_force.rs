//! `evenkeel config`: what a configuration sets, each value with its source.

use config::{Outcome, Setting};
use serde_json::{Value, json};

use crate::check::pretty;
use crate::cli::Config;
use crate::columns::{Align, Columns};
use crate::configuration::{complain, load};
use crate::failure::{Done, Failure};
use crate::output;

/// The source of values that nobody wrote.
const DEFAULT: &str = "default";

pub(crate) fn carry_out(args: &Config) -> Done {
    let outcome = load(&args.file)?;
    if outcome.plan.is_none() {
        complain(&outcome);
        return Err(Failure::Said);
    }
    if let Some(pool) = &args.pool {
        known(&outcome, pool)?;
    }
    let shown: Vec<&Setting> = outcome
        .in_force
        .iter()
        .filter(|setting| args.defaults || setting.source != DEFAULT)
        .filter(|setting| args.pool.as_ref().is_none_or(|pool| is_of_pool(&setting.key, pool)))
        .collect();
    output::print(&if args.form.json { as_json(&shown) } else { as_lines(&shown) })?;
    Ok(())
}

fn known(outcome: &Outcome, pool: &str) -> Done {
    let pools = outcome.plan.iter().flat_map(|plan| &plan.pools);
    let names: Vec<&str> = pools.map(|pool| pool.name.as_str()).collect();
    if names.contains(&pool) {
        return Ok(());
    }
    let remedy = if names.is_empty() { "there is none".to_owned() } else { format!("there is {}", names.join(", ")) };
    Err(Failure::refused(format!("there is no pool `{pool}`"), remedy))
}

/// Whether a dotted key belongs to a pool, whose name may be quoted.
fn is_of_pool(key: &str, pool: &str) -> bool {
    let Some(rest) = key.strip_prefix("pool.") else { return false };
    let rest = match rest.strip_prefix('"') {
        Some(quoted) => quoted.strip_prefix(pool).and_then(|rest| rest.strip_prefix('"')),
        None => rest.strip_prefix(pool),
    };
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn as_lines(settings: &[&Setting]) -> String {
    let mut columns = Columns::new(&[("", Align::Left), ("", Align::Left)]);
    for setting in settings {
        columns.row([format!("{} = {}", setting.key, setting.value), format!("# {}", setting.source)]);
    }
    columns.text()
}

fn as_json(settings: &[&Setting]) -> String {
    let setting = |setting: &&Setting| json!({ "key": setting.key, "value": setting.value, "source": setting.source });
    pretty(&Value::Array(settings.iter().map(setting).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_pool() {
        assert!(is_of_pool("pool.app.policy", "app"));
        assert!(is_of_pool("pool.\"a b\".backends[1].weight", "a b"));
        assert!(!is_of_pool("pool.app2.policy", "app"));
        assert!(!is_of_pool("listener.app.bind", "app"));
    }
}
