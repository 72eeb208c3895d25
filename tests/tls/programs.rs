//! Programs that people use: curl, openssl, testssl.sh.

use std::process::{Command, Stdio};

use super::stage::Stage;
use crate::harness::{Backend, Evenkeel, OK, find_program, long_run, skip};

/// Runs a program: its standard output and standard error.
fn run(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new(find_program(program)?).args(args).stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

fn ready() -> (Stage, Backend, Evenkeel) {
    let (stage, backend) = (Stage::ready(), Backend::answering(OK));
    std::fs::write(stage.path("root.txt"), &stage.authority.pem).unwrap();
    let front = stage.front(&backend);
    (stage, backend, front)
}

#[test]
fn curl_gets_what_it_asks_for() {
    let (stage, _backend, front) = ready();
    let (root, url) = (stage.path("root.txt"), format!("https://localhost:{}/", front.port()));
    for version in ["1.2", "1.3"] {
        let args = ["-sS", "--tls-max", version, "--cacert", root.to_str().unwrap(), &url, &url];
        let Some((passed, text)) = run("curl", &args) else { return skip("curl over TLS", "curl is not installed") };
        assert!(passed && text == "okok", "TLS {version}: {text}");
    }
}

#[test]
fn openssl_sees_what_it_should() {
    let (stage, _backend, front) = ready();
    let (root, to) = (stage.path("root.txt"), format!("127.0.0.1:{}", front.port()));
    let base = ["s_client", "-connect", &to, "-servername", "localhost", "-CAfile", root.to_str().unwrap()];
    let with = |more: &[&str]| run("openssl", &[&base[..], more].concat());
    let Some((_, text)) = with(&["-tls1_3"]) else { return skip("openssl over TLS", "openssl is not installed") };
    assert!(text.contains("Verification: OK") && text.contains("TLSv1.3"), "{text}");
    let (_, text) = with(&["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"]).unwrap();
    assert!(text.contains("Verification: OK") && text.contains("CHACHA20"), "{text}");
    for old in ["-tls1_1", "-tls1"] {
        let (_, text) = with(&[old, "-cipher", "ALL:@SECLEVEL=0"]).unwrap();
        assert!(!text.contains("Verification: OK") || text.contains("Cipher is (NONE)"), "{text}");
    }
}

/// What testssl.sh calls a weakness.
const BAD: [&str; 4] = ["\"LOW\"", "\"MEDIUM\"", "\"HIGH\"", "\"CRITICAL\""];

#[test]
fn testssl_finds_no_weakness() {
    if find_program("testssl").is_none() {
        return skip("testssl.sh", "testssl.sh is not installed");
    }
    let (stage, _backend, front) = ready();
    let (to, report) = (format!("localhost:{}", front.port()), stage.path("report.json"));
    let report_path = report.to_str().unwrap();
    let mut args = vec!["--quiet", "--color", "0", "--warnings", "off", "--jsonfile", report_path, "--ip", "127.0.0.1"];
    // All of it takes minutes.
    let checks: &[&str] = if long_run() { &["-U", "-p", "-s", "-f", "-S"] } else { &["-p", "-s", "-H", "-R"] };
    args.extend(checks);
    args.push(&to);
    let (_, text) = run("testssl", &args).unwrap();
    let report = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {text}"));
    let findings: Vec<serde_json::Value> = serde_json::from_str(&report).unwrap();
    // The certificate of a test is of an authority that nobody knows, and not in lists of browsers.
    let of_tests = ["cert", "OCSP", "DNS_CAA", "intermediate"];
    let weak: Vec<_> = findings
        .iter()
        .filter(|finding| BAD.contains(&finding["severity"].to_string().as_str()))
        .filter(|finding| !of_tests.iter().any(|of| finding["id"].as_str().is_some_and(|id| id.starts_with(of))))
        .collect();
    assert!(findings.len() > 5, "{text}");
    assert!(weak.is_empty(), "{weak:#?}");
}
