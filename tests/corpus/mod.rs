//! A corpus of messages, right and wrong, as text that people can read: each block of a file is sent byte for byte.
//!
//! The files say how blocks are written.

mod answers;
mod mixed;
mod requests;

/// Lines of a block that say something about it.
const OPTIONS: [&str; 8] = ["to", "close", "later", "alone", "body", "trailer", "seen", "unseen"];

/// A message and what is to become of it.
struct Case {
    expected: String,
    name: String,
    options: Vec<(String, Vec<u8>)>,
    bytes: Vec<u8>,
}

impl Case {
    /// The values of an option.
    fn all<'a>(&'a self, option: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.options.iter().filter(move |(name, _)| name == option).map(|(_, value)| value.as_slice())
    }

    fn option<'a>(&'a self, option: &'a str) -> Option<&'a [u8]> {
        self.all(option).next()
    }

    /// The status that is expected, 0 if there is none.
    fn status(&self) -> u16 {
        self.expected.rsplit(' ').next().and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// What is wrong with the lines of a head, given what must and must not be among them.
    fn fault_of(&self, head: &str) -> Option<String> {
        let lines: Vec<String> = head.split("\r\n").map(plain).collect();
        let has = |line: &&[u8]| lines.contains(&plain(&String::from_utf8_lossy(line)));
        let absent = self.all("seen").find(|line| !has(line)).map(|line| ("lacks", line));
        let (what, line) = absent.or_else(|| self.all("unseen").find(has).map(|line| ("has", line)))?;
        Some(format!("{what} {:?}: {head:?}", String::from_utf8_lossy(line)))
    }
}

/// A line without the white space around the value.
fn plain(line: &str) -> String {
    match line.split_once(':') {
        Some((name, value)) if !name.contains(' ') => format!("{name}: {}", value.trim()),
        _ => line.to_owned(),
    }
}

/// The blocks of a file.
fn cases(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(title) = line.strip_prefix("--- ") else { continue };
        let mut block = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("--- ") && !line.starts_with("## ")) {
            block.push(line);
        }
        cases.push(case(title, &block));
    }
    cases
}

fn case(title: &str, block: &[&str]) -> Case {
    let words = if title.starts_with("late ") { 2 } else { 1 };
    let (at, _) = title.match_indices(' ').nth(words - 1).unwrap_or_else(|| panic!("no name: {title}"));
    let option = |line: &&str| {
        let (name, value) = line.split_once(':')?;
        OPTIONS.contains(&name).then(|| (name.to_owned(), unescape(value.trim_start()).0))
    };
    let options: Vec<_> = block.iter().map_while(option).collect();
    let bytes = message(&block[options.len()..]);
    Case { expected: title[..at].to_owned(), name: title[at + 1..].to_owned(), options, bytes }
}

/// Puts a message together from its lines.
fn message(mut lines: &[&str]) -> Vec<u8> {
    while let [rest @ .., ""] = lines {
        lines = rest;
    }
    let end = lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len());
    let mut bytes = Vec::new();
    let mut is_whole = true;
    for line in &lines[..end] {
        let (text, goes_on) = unescape(line);
        bytes.extend(text);
        is_whole = !goes_on;
        if is_whole {
            bytes.extend(b"\r\n");
        }
    }
    if is_whole || end < lines.len() {
        bytes.extend(b"\r\n");
    }
    for line in lines.get(end + 1..).unwrap_or_default() {
        bytes.extend(unescape(line).0);
    }
    bytes
}

/// The bytes of a line, and whether the next one follows without a line end.
fn unescape(line: &str) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        if let Some((text, times, after)) = repeated(rest) {
            bytes.extend(unescape(text).0.repeat(times));
            rest = after;
            continue;
        }
        rest = &rest[first.len_utf8()..];
        if first != '\\' {
            bytes.extend(first.to_string().as_bytes());
            continue;
        }
        let Some(escaped) = rest.chars().next() else { return (bytes, true) };
        rest = &rest[1..];
        bytes.push(match escaped {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '0' => 0,
            '\\' => b'\\',
            'x' => {
                let (digits, after) = rest.split_at(2);
                rest = after;
                u8::from_str_radix(digits, 16).unwrap()
            }
            other => panic!("no such escape: {other}"),
        });
    }
    (bytes, false)
}

/// `{TEXT*N}` at the front, and what follows it.
fn repeated(text: &str) -> Option<(&str, usize, &str)> {
    let (inner, after) = text.strip_prefix('{')?.split_once('}')?;
    let (text, times) = inner.rsplit_once('*')?;
    Some((text, times.parse().ok()?, after))
}

#[test]
fn blocks_are_read_as_they_are_meant() {
    let text = "About.\n## Some\n\n--- late 400 a name\nseen: X\\t: y\nGET / HTTP/1.1\nX:{ab*3}\\\n\\n\n\na\nb\\r\\n\n\n## More\n\
                --- closed b\nGET\\\n\n--- 200 c\nHost: a\n";
    let cases = cases(text);
    assert_eq!(cases.iter().map(|case| case.expected.as_str()).collect::<Vec<_>>(), ["late 400", "closed", "200"]);
    assert_eq!((cases[0].name.as_str(), cases[0].status()), ("a name", 400));
    assert_eq!(cases[0].option("seen"), Some(&b"X\t: y"[..]));
    assert_eq!(String::from_utf8_lossy(&cases[0].bytes), "GET / HTTP/1.1\r\nX:ababab\n\r\n\r\nab\r\n");
    assert_eq!(cases[1].bytes, b"GET");
    assert_eq!(cases[2].bytes, b"Host: a\r\n\r\n");
}
