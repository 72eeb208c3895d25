//! The generated pages are those that the table of keys makes.

use std::path::PathBuf;

/// Compares a page with its committed text, or writes it where `UPDATE` is set.
fn assert_current(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "docs/{name} is not current; run: UPDATE=1 cargo test -p config drift");
}

#[test]
fn drift_of_the_reference_page() {
    assert_current("reference.md", &config::reference());
}

#[test]
fn drift_of_the_json_schema() {
    let text = serde_json::to_string_pretty(&config::schema()).unwrap() + "\n";
    assert_current("evenkeel.schema.json", &text);
}
