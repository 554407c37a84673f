//! What a browser sends by itself, for a page that its user did not mean to let at Docker.
//!
//! Browsers add remembered passwords and certificates to whatever a page sends, and Docker answers a
//! WebSocket or a `text/plain` POST from any page. Two fields tell, which no page can set: `Origin`
//! (RFC 6454 §7) and `Sec-Fetch-Site` (W3C Fetch Metadata §2.3). Other clients send neither.

use crate::http::head::RequestHead;

const FOREIGN: &str = "a browser sends this for a page of another site, which may only read: add \
                       its origin to allow_origin, if you trust all of its pages";

/// Why a request is refused, whoever sends it: it changes something, or becomes a stream, for a
/// page that is neither the node's own nor of an origin that is `allowed`.
///
/// A page of an allowed origin may be one of another site: that is what the list is for.
pub fn refusal(head: &RequestHead<'_>, allowed: &[String]) -> Option<&'static str> {
    if !head.changes_state() && head.upgrade.is_none() {
        return None;
    }
    let listed = |origin: &[u8]| {
        let mut allowed = allowed.iter().map(String::as_bytes);
        allowed.any(|known| known.eq_ignore_ascii_case(origin))
    };
    let foreign = match head.origin {
        None => head.is_cross_site,
        Some(origin) if listed(origin) => false,
        Some(origin) => head.is_cross_site || !is_own(origin, head.authority),
    };
    foreign.then_some(FOREIGN)
}

/// Whether `origin` is that of the address that the client speaks with, by HTTPS as all here. A
/// browser leaves HTTPS's own port out, whoever else writes a `Host` need not.
fn is_own(origin: &[u8], authority: &[u8]) -> bool {
    const SCHEME: &[u8] = b"https://";
    let own = authority.strip_suffix(b":443").unwrap_or(authority);
    origin
        .split_at_checked(SCHEME.len())
        .is_some_and(|(scheme, host)| {
            scheme.eq_ignore_ascii_case(SCHEME) && host.eq_ignore_ascii_case(own)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::HeadLimits;

    /// Whether a request with these fields is refused.
    fn refused(line: &str, fields: &str, allowed: &[&str]) -> bool {
        let text = format!("{line} HTTP/1.1\r\nHost: node:8771\r\n{fields}\r\n");
        let head = RequestHead::parse(text.as_bytes(), HeadLimits::default()).unwrap();
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        refusal(&head, &allowed).is_some()
    }

    #[test]
    fn what_changes_something_comes_from_the_nodes_own_pages() {
        for (fields, expected) in [
            ("", false),
            ("Origin: https://node:8771\r\n", false),
            ("Origin: HTTPS://NODE:8771\r\n", false),
            ("Origin: http://node:8771\r\n", true),
            ("Origin: https://node\r\n", true),
            ("Origin: https://evil.example\r\n", true),
            ("Origin: https://node:8771.evil.example\r\n", true),
            ("Origin: null\r\n", true),
            ("Origin:\r\n", true),
            (
                "Origin: https://node:8771\r\nOrigin: https://node:8771\r\n",
                true,
            ),
            ("Sec-Fetch-Site: same-origin\r\n", false),
            ("Sec-Fetch-Site: none\r\n", false),
            ("Sec-Fetch-Site: cross-site\r\n", true),
            ("sec-fetch-site: Cross-Site\r\n", true),
            (
                "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n",
                true,
            ),
            (
                "Origin: https://node:8771\r\nSec-Fetch-Site: cross-site\r\n",
                true,
            ),
        ] {
            assert_eq!(refused("POST /x", fields, &[]), expected, "{fields:?}");
            assert_eq!(refused("DELETE /x", fields, &[]), expected, "{fields:?}");
            assert!(!refused("GET /x", fields, &[]), "{fields:?}");
            let socket = format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{fields}");
            assert_eq!(refused("GET /x", &socket, &[]), expected, "{fields:?}");
        }
    }

    #[test]
    fn pages_that_are_allowed_may_be_of_another_site() {
        let fields = "Origin: https://ui.example\r\nSec-Fetch-Site: cross-site\r\n";
        assert!(refused("POST /x", fields, &["https://ui"]));
        assert!(!refused(
            "POST /x",
            fields,
            &["https://ui", "https://ui.example"]
        ));
        // No origin is on no list.
        assert!(refused(
            "POST /x",
            "Sec-Fetch-Site: cross-site\r\n",
            &["https://ui"]
        ));
    }

    #[test]
    fn the_own_address_is_the_targets_where_that_has_one() {
        let own = "Origin: https://other\r\n";
        assert!(!refused("POST https://other:443/x", own, &[]));
        assert!(refused("POST https://node:8771/x", own, &[]));
    }

    #[test]
    fn a_form_is_one_for_gos_lenient_reader_too() {
        let form = |fields: &str| {
            let text = format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let head = RequestHead::parse(text.as_bytes(), HeadLimits::default()).unwrap();
            head.is_form
        };
        for (kind, expected) in [
            ("application/json", false),
            ("application/x-www-form-urlencoded", true),
            ("Application/X-WWW-Form-Urlencoded ; charset=utf-8", true),
            ("appl\u{130}cation/x-www-form-urlencoded", true),
            ("text/plain; x=application/x-www-form-urlencoded", false),
        ] {
            let kind = format!("Content-Type: {kind}\r\n");
            let two = format!("Content-Type: text/plain\r\n{kind}");
            for fields in [&kind, &two] {
                assert_eq!(form(fields), expected, "{fields}");
            }
        }
    }
}
