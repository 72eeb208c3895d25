use super::*;

/// A root for tests, made with `openssl req -x509 -addext …`: see the names below.
const PEM: &str = include_str!("tests/sample.pem");

fn sample() -> Vec<u8> {
    let text: String = PEM.lines().filter(|line| !line.starts_with('-')).collect();
    let value = |byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let bits = text.bytes().filter(|byte| *byte != b'=').map(value);
    let (mut out, mut held, mut have) = (Vec::new(), 0_u32, 0);
    for six in bits {
        (held, have) = (held << 6 | u32::from(six), have + 6);
        if have >= 8 {
            have -= 8;
            out.push(u8::try_from(held >> have & 0xff).unwrap());
        }
    }
    out
}

#[test]
fn a_certificate_is_read() {
    let der = sample();
    let certificate = parse(&der).unwrap();
    assert_eq!(show_name(certificate.subject), "CN=shop.example,OU=a\\,b,O=Shop,C=DE");
    assert!(certificate.is_self_issued() && certificate.is_ca && certificate.names_issuers_place);
    assert_eq!(certificate.serial, [0x12, 0x34]);
    assert_eq!(certificate.not_after - certificate.not_before, 30 * 24 * 60 * 60);
    let names = [
        AltName::Dns("shop.example"),
        AltName::Dns("*.shop.example"),
        AltName::Ip(&[127, 0, 0, 1]),
        AltName::Mail("a@shop.example"),
        AltName::Uri("spiffe://shop/a"),
    ];
    assert_eq!(certificate.names, names);
}

#[test]
fn whatever_is_cut_or_changed_is_read_or_refused() {
    let der = sample();
    for length in 0..der.len() {
        let _ = parse(&der[..length]);
        let _ = stapled(&der[..length]);
        let _ = show_name(&der[..length]);
    }
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[at] ^= 1 << bit;
            if let Some(certificate) = parse(&changed) {
                let _ = (show_name(certificate.issuer), show_name(certificate.subject));
            }
        }
    }
}

#[test]
fn a_stapled_answer_is_read() {
    let answer = stapled(include_bytes!("tests/stapled.der")).unwrap();
    assert!(answer.is_good);
    assert_eq!(answer.serial, [0x47, 0x11]);
    assert_eq!(answer.next_update.unwrap() - answer.this_update, 5 * 24 * 60 * 60);
    assert_eq!(stapled(&sample()), None);
}
