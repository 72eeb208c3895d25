//! The file that `evenkeel proxy` stands for.

use crate::setting::quoted;

/// The configuration of one listener before one pool, as text that [`crate::load`] reads. `listen` and `to` are
/// addresses as in the file, `policy` and `health` values of the pool's keys. What is wrong with them is told by
/// reading the text.
#[must_use]
pub fn proxy_config(listen: &str, to: &[String], policy: Option<&str>, health: Option<&str>) -> String {
    let backends: Vec<String> = to.iter().map(|address| text(address)).collect();
    let mut lines = vec![
        "[listener.proxy]".to_owned(),
        format!("bind = {}", text(listen)),
        "pool = \"app\"".to_owned(),
        String::new(),
        "[pool.app]".to_owned(),
        format!("backends = [{}]", backends.join(", ")),
    ];
    lines.extend(policy.map(|policy| format!("policy = {}", text(policy))));
    lines.extend(health.map(|health| format!("health = {}", text(health))));
    lines.push(String::new());
    lines.join("\n")
}

/// A string that stands for itself: what the shell did not fill in, we do not either.
fn text(text: &str) -> String {
    quoted(&text.replace("${", "$${"))
}
