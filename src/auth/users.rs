//! Who may come in: names and bcrypt hashes, validated before anything is started.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The user that the manager logs in as, and the one that exists when nothing is configured.
pub const DEFAULT_USER: &str = "admin";

/// bcrypt of `password`, the documented default.
///
/// Its cost is the lowest that bcrypt has (4), since a work factor protects the secret behind a
/// stolen hash, and there is none here: the password itself is in every manual. A higher cost
/// would only make the first request slower on a small board and look like a protection. The
/// start warns while it is in use.
pub const DEFAULT_PASSWORD_HASH: &str =
    "$2b$04$cL/R2v0a4se9KJTpnluOP.u74b2FNUkgo5piGx545HYjePPbdNLzO";

/// The highest bcrypt cost that is accepted: 2^14 rounds are about a second on a desktop and a
/// quarter of a minute on an ARMv6 board. bcrypt itself would go to 31, which is days.
pub const MAX_COST: u32 = 14;

/// bcrypt's own lower limit.
const MIN_COST: u32 = 4;

/// The cost of the hashes made by [`hash_password`]: some 60 ms on a desktop and a second on an
/// ARMv6 board, paid once per credential.
const NEW_HASH_COST: u32 = 10;

/// The longest password that bcrypt takes whole, in bytes. It ignores what follows, so a hash of
/// a longer one would promise more than it keeps.
const MAX_PASSWORD: usize = 72;

/// The most users that are accepted.
const MAX_USERS: usize = 1024;

/// The longest user name, in bytes.
const MAX_NAME: usize = 255;

/// The users and their hashes; none at all means that authentication is off.
///
/// `Debug` shows the names only.
#[derive(Clone, PartialEq, Eq)]
pub struct Users {
    /// Names are unique; each hash has passed [`check_hash`].
    entries: Vec<User>,
    /// [`DEFAULT_USER`] is there with [`DEFAULT_PASSWORD_HASH`], because nobody said otherwise.
    built_in: bool,
}

#[derive(Clone, PartialEq, Eq)]
struct User {
    name: Arc<str>,
    hash: Box<str>,
}

impl Users {
    /// Authentication switched off: everybody is let in.
    pub fn open() -> Users {
        Users {
            entries: Vec::new(),
            built_in: false,
        }
    }

    /// What there is when nothing is configured: [`DEFAULT_USER`] with the documented password.
    pub fn built_in() -> Users {
        Users {
            entries: vec![User {
                name: DEFAULT_USER.into(),
                hash: DEFAULT_PASSWORD_HASH.into(),
            }],
            built_in: true,
        }
    }

    /// One user with a bcrypt hash.
    ///
    /// # Errors
    /// The name or the hash cannot be used; see [`HashError`].
    pub fn with(name: &str, hash: &str) -> Result<Users, HashError> {
        let mut users = Users::open();
        users.add(name, hash)?;
        Ok(users)
    }

    /// One user more. Switches authentication on where it was off, and replaces the built-in
    /// default where the name is the same.
    ///
    /// # Errors
    /// The name or the hash cannot be used, or the name is there already; see [`HashError`].
    pub fn add(&mut self, name: &str, hash: &str) -> Result<(), HashError> {
        check_name(name)?;
        check_hash(hash)?;
        if self.built_in && name == DEFAULT_USER {
            self.entries.retain(|user| &*user.name != DEFAULT_USER);
            self.built_in = false;
        }
        if self.entries.iter().any(|user| &*user.name == name) {
            return Err(HashError::Duplicate(name.to_owned()));
        }
        if self.entries.len() >= MAX_USERS {
            return Err(HashError::TooMany);
        }
        self.entries.push(User {
            name: name.into(),
            hash: hash.into(),
        });
        Ok(())
    }

    /// Authentication is off.
    pub fn is_open(&self) -> bool {
        self.entries.is_empty()
    }

    /// The built-in default password is among those that let somebody in.
    pub fn uses_default_password(&self) -> bool {
        self.built_in
    }

    /// Whether requests may come in this name: [`NOBODY`](super::NOBODY) while authentication is off.
    pub fn has(&self, name: &str) -> bool {
        match self.is_open() {
            true => name == super::NOBODY,
            false => self.find(name).is_some(),
        }
    }

    /// The user's name, shared, and hash.
    pub(super) fn find(&self, name: &str) -> Option<(&Arc<str>, &str)> {
        let user = self.entries.iter().find(|user| &*user.name == name)?;
        Some((&user.name, &user.hash))
    }

    /// The highest cost among the users' hashes.
    pub(super) fn highest_cost(&self) -> u32 {
        let costs = self.entries.iter().map(|user| cost(&user.hash));
        costs.max().unwrap_or(MIN_COST)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.entries.iter().map(|user| &user.name);
        f.debug_set().entries(names).finish()
    }
}

/// Reads htpasswd lines, `name:hash`; blank lines and lines that start with `#` are skipped.
///
/// # Errors
/// The number of the first line that cannot be used, counted from 1, and why. A text without any
/// user is an error at its last line: it would switch authentication off.
pub fn parse_htpasswd(text: &str) -> Result<Vec<(String, String)>, (usize, HashError)> {
    let mut users: Vec<(String, String)> = Vec::new();
    let mut last = 1;
    for (number, line) in (1..).zip(text.lines()) {
        last = number;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, hash) = parse_entry(line).map_err(|error| (number, error))?;
        if users.iter().any(|(other, _)| other == name) {
            return Err((number, HashError::Duplicate(name.to_owned())));
        }
        if users.len() >= MAX_USERS {
            return Err((number, HashError::TooMany));
        }
        users.push((name.to_owned(), hash.to_owned()));
    }
    if users.is_empty() {
        return Err((last, HashError::NoUsers));
    }
    Ok(users)
}

/// One `name:hash` line.
fn parse_entry(line: &str) -> Result<(&str, &str), HashError> {
    let (name, hash) = line.split_once(':').ok_or(HashError::NoColon)?;
    check_name(name)?;
    check_hash(hash)?;
    Ok((name, hash))
}

/// A name that Basic credentials can carry: RFC 7617 §2 ends it at the first colon and forbids
/// control characters.
fn check_name(name: &str) -> Result<(), HashError> {
    let usable = !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.chars().any(|c| c == ':' || c.is_control());
    if usable { Ok(()) } else { Err(HashError::Name) }
}

/// `$2a$`, `$2b$` or `$2y$` (one algorithm; `$2x$` marks hashes of a broken one), two digits of
/// cost, 22 characters of salt and 31 of hash.
fn check_hash(hash: &str) -> Result<(), HashError> {
    if !hash.starts_with("$2") {
        return Err(HashError::NotBcrypt(other_scheme(hash)));
    }
    if !["$2a$", "$2b$", "$2y$"].iter().any(|v| hash.starts_with(v)) {
        return Err(HashError::Version);
    }
    let digits = hash.get(4..6).unwrap_or_default();
    if hash.len() != 60 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(HashError::Malformed);
    }
    // What passes here is what the verification parses later.
    let parts = bcrypt::HashParts::from_str(hash).map_err(|_| HashError::Malformed)?;
    match parts.get_cost() {
        MIN_COST..=MAX_COST => Ok(()),
        cost => Err(HashError::Cost(cost)),
    }
}

/// The cost of a checked hash.
pub(super) fn cost(hash: &str) -> u32 {
    let digits = hash.get(4..6).unwrap_or_default();
    digits.parse().unwrap_or(MIN_COST)
}

/// What else htpasswd files hold, by its prefix. The text itself may be a password.
fn other_scheme(hash: &str) -> &'static str {
    match hash {
        _ if hash.is_empty() => "empty",
        _ if hash.starts_with("$apr1$") => "an Apache MD5 hash",
        _ if hash.starts_with("$1$") => "an MD5 crypt hash",
        _ if hash.starts_with("$5$") => "a SHA-256 crypt hash",
        _ if hash.starts_with("$6$") => "a SHA-512 crypt hash",
        _ if hash.starts_with("$y$") => "a yescrypt hash",
        _ if hash.starts_with("{SHA}") => "a SHA-1 hash",
        _ if hash.starts_with("{SSHA}") => "a salted SHA-1 hash",
        _ if hash.len() == 13 => "a DES crypt hash or a plain password",
        _ => "something else or a plain password",
    }
}

/// A bcrypt hash of a new password, with a fresh salt.
///
/// # Errors
/// The password could never be sent, or would not be looked at whole; see [`PasswordError`].
pub fn hash_password(password: &[u8]) -> Result<String, PasswordError> {
    hash_with_cost(password, NEW_HASH_COST)
}

fn hash_with_cost(password: &[u8], cost: u32) -> Result<String, PasswordError> {
    let text = std::str::from_utf8(password).map_err(|_| PasswordError::NotUtf8)?;
    if text.is_empty() {
        return Err(PasswordError::Empty);
    }
    if text.chars().any(char::is_control) {
        return Err(PasswordError::Control);
    }
    if text.len() > MAX_PASSWORD {
        return Err(PasswordError::TooLong);
    }
    bcrypt::hash(text, cost).map_err(|_| PasswordError::NoRandomness)
}

/// Why a user cannot be taken. The hash itself is never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashError {
    /// The name is empty, too long, or has a colon or a control character.
    Name,
    /// Another kind of hash, or none; what it looks like.
    NotBcrypt(&'static str),
    /// `$2$` or `$2x$`: made by an implementation with a known fault.
    Version,
    /// Begins like bcrypt and is cut short, too long, or not bcrypt's base64.
    Malformed,
    /// A cost outside of what is accepted.
    Cost(u32),
    /// The name was there before.
    Duplicate(String),
    /// More users than are accepted.
    TooMany,
    /// A htpasswd line without a colon.
    NoColon,
    /// A htpasswd text without any user.
    NoUsers,
}

/// How a hash that is accepted can be had.
const REMEDY: &str = "make one with `haven-agent hash-password` or `htpasswd -B`";

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashError::Name => write!(
                f,
                "a user name has 1 to {MAX_NAME} bytes, no colon and no control character"
            ),
            HashError::NotBcrypt(what) => {
                write!(f, "not a bcrypt hash ({what}); {REMEDY}")
            }
            HashError::Version => write!(
                f,
                "only $2a$, $2b$ and $2y$ bcrypt hashes are accepted; {REMEDY}"
            ),
            HashError::Malformed => write!(
                f,
                "a damaged bcrypt hash (60 characters are expected: was a `$` taken by a shell?); {REMEDY}"
            ),
            HashError::Cost(cost) => write!(
                f,
                "bcrypt cost {cost} is outside of {MIN_COST} to {MAX_COST}; {REMEDY}"
            ),
            HashError::Duplicate(name) => write!(f, "user {name:?} is there twice"),
            HashError::TooMany => write!(f, "more than {MAX_USERS} users"),
            HashError::NoColon => f.write_str("expected `name:hash`"),
            HashError::NoUsers => f.write_str("no user at all: expected lines `name:hash`"),
        }
    }
}

impl Error for HashError {}

/// Why a password cannot be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// Nothing was given.
    Empty,
    /// Basic credentials are UTF-8 here.
    NotUtf8,
    /// Basic credentials cannot carry control characters.
    Control,
    /// Longer than what bcrypt looks at.
    TooLong,
    /// The system gave no random salt.
    NoRandomness,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordError::Empty => f.write_str("the password is empty"),
            PasswordError::NotUtf8 => f.write_str("the password is not UTF-8"),
            PasswordError::Control => f.write_str(
                "the password has a control character, which Basic credentials cannot carry",
            ),
            PasswordError::TooLong => write!(
                f,
                "the password has more than {MAX_PASSWORD} bytes, and bcrypt ignores the rest: choose a shorter one"
            ),
            PasswordError::NoRandomness => {
                f.write_str("the system gave no random bytes for a salt")
            }
        }
    }
}

impl Error for PasswordError {}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// `password`, from an independent implementation.
    const TWO_A: &str = "$2a$04$UuTkLRZZ6QofpDOlMz32MuuxEHA43WOemOYHPz6.SjsVsyO1tDU96";

    #[test]
    fn the_default_hash_is_that_of_the_documented_password() {
        assert!(bcrypt::verify("password", DEFAULT_PASSWORD_HASH).unwrap());
        assert_eq!(check_hash(DEFAULT_PASSWORD_HASH), Ok(()));
    }

    #[test]
    fn the_default_password_is_in_use_until_admin_is_replaced() {
        let mut users = Users::built_in();
        assert!(users.uses_default_password() && !users.is_open());
        users.add("bob", TWO_A).unwrap();
        assert!(
            users.uses_default_password(),
            "bob's coming changes nothing"
        );
        users.add("admin", TWO_A).unwrap();
        assert!(!users.uses_default_password());
        assert_eq!(users.find("admin").unwrap().1, TWO_A);
        assert!(users.find("bob").is_some());
        let again = users.add("admin", TWO_A);
        assert_eq!(again, Err(HashError::Duplicate("admin".to_owned())));
    }

    #[test]
    fn nobody_at_all_is_open_and_the_first_user_closes() {
        let mut users = Users::open();
        assert!(users.is_open() && !users.uses_default_password());
        users.add("alice", TWO_A).unwrap();
        assert!(!users.is_open() && !users.uses_default_password());
        assert!(
            !Users::with("admin", DEFAULT_PASSWORD_HASH)
                .unwrap()
                .is_open()
        );
    }

    #[test]
    fn the_three_names_of_one_algorithm_are_taken() {
        // From bcrypt 5.0 for Python ($2a$, $2b$) and Apache's htpasswd ($2y$).
        let vectors = [
            (
                "correct horse",
                "$2a$04$3Y5aOLm1bq8C3qpX8CfP7ec36rP1Z1uzX84MZbBI8fCjGtMh/LkTG",
            ),
            (
                "correct horse",
                "$2b$04$mR33Sli/YcQ4XV9ohR56jesZKepkFs64blsQkfBu9r4oCyQaqw5ba",
            ),
            (
                "correct horse",
                "$2y$04$4AcIgYun.RYWIweWwTt/NeZiOpYDhqkHN1uOK/1SSmqtVvBT7l.T.",
            ),
            (
                "pässwörd ✓",
                "$2b$04$zEhj9bAxpv5ELRL9MjJKP.Gwrg6LAIyp9ALh1DPX4mzxYxNckpobi",
            ),
            ("password", TWO_A),
        ];
        for (password, hash) in vectors {
            assert_eq!(check_hash(hash), Ok(()), "{hash}");
            assert!(bcrypt::verify(password, hash).unwrap(), "{hash}");
            assert!(!bcrypt::verify("wrong", hash).unwrap(), "{hash}");
        }
    }

    #[test]
    fn a_hash_that_is_not_bcrypt_is_refused_with_the_remedy() {
        let others = [
            "",
            "secret",
            "$apr1$5u1xUEGJ$gG0oqyqCsSPvSmMC7yfpX/",
            "$1$5u1xUEGJ$gG0oqyqCsSPvSmMC7yfpX/",
            "$5$abc$defghi",
            "$6$abc$defghi",
            "$y$j9T$abc$def",
            "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "rqXexS6ZhobKA",
        ];
        for hash in others {
            let error = check_hash(hash).unwrap_err();
            assert!(matches!(error, HashError::NotBcrypt(_)), "{hash}: {error}");
            let text = error.to_string();
            assert!(text.contains("haven-agent hash-password"), "{text}");
            assert!(text.contains("htpasswd -B"), "{text}");
            assert!(hash.is_empty() || !text.contains(hash), "{text}");
        }
    }

    #[test]
    fn a_damaged_hash_is_refused_wherever_it_is_cut() {
        for length in 2..TWO_A.len() {
            assert!(check_hash(&TWO_A[..length]).is_err(), "{length}");
        }
        assert_eq!(
            check_hash(&format!("{TWO_A}x")),
            Err(HashError::Malformed),
            "too long"
        );
        for bad in [
            "$2a$+4$UuTkLRZZ6QofpDOlMz32MuuxEHA43WOemOYHPz6.SjsVsyO1tDU96",
            "$2a$04$UuTkLRZZ6QofpDOlMz32MuuxEHA43WOemOYHPz6.SjsVsyO1tDU9!",
            "$2a$04$UuTkLRZZ6QofpDOlMz32Muux£HA43WOemOYHPz6.SjsVsyO1tDU9",
            "$2a$04xUuTkLRZZ6QofpDOlMz32MuuxEHA43WOemOYHPz6.SjsVsyO1tDU96",
        ] {
            assert_eq!(check_hash(bad), Err(HashError::Malformed), "{bad}");
        }
        for version in ["$2x", "$2$", "$2c"] {
            let hash = format!("{version}{}", &TWO_A[3..]);
            assert_eq!(check_hash(&hash), Err(HashError::Version), "{hash}");
        }
    }

    #[test]
    fn a_cost_outside_of_the_limits_is_named_with_them() {
        for (digits, ok) in [("03", false), ("04", true), ("14", true), ("15", false)] {
            let hash = format!("$2b${digits}{}", &TWO_A[6..]);
            assert_eq!(check_hash(&hash).is_ok(), ok, "{hash}");
        }
        let hash = format!("$2b$31{}", &TWO_A[6..]);
        let text = check_hash(&hash).unwrap_err().to_string();
        assert!(
            text.contains("cost 31") && text.contains("4 to 14"),
            "{text}"
        );
    }

    #[test]
    fn names_that_credentials_cannot_carry_are_refused() {
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["", "a:b", "a\nb", "a\u{7f}", "\u{85}", &long] {
            assert_eq!(Users::with(name, TWO_A), Err(HashError::Name), "{name:?}");
        }
        assert!(Users::with("Jürgen von A.", TWO_A).is_ok());
    }

    #[test]
    fn htpasswd_lines_are_read_with_comments_and_blank_lines() {
        let text = format!("# users\n\n  alice:{TWO_A}\r\n#bob:x\nbob:{TWO_A}");
        let users = parse_htpasswd(&text).unwrap();
        let names: Vec<&str> = users.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["alice", "bob"]);
        assert!(users.iter().all(|(_, hash)| hash == TWO_A));
    }

    #[test]
    fn a_bad_htpasswd_line_is_named_by_its_number() {
        let cases = [
            (format!("a:{TWO_A}\n\nb"), 3, HashError::NoColon),
            (format!("#\n:{TWO_A}"), 2, HashError::Name),
            (
                format!("a:{TWO_A}\nb:{TWO_A}\na:{TWO_A}"),
                3,
                HashError::Duplicate("a".to_owned()),
            ),
            ("a:$2y$10$short".to_owned(), 1, HashError::Malformed),
            (
                "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".to_owned(),
                1,
                HashError::NotBcrypt("a SHA-1 hash"),
            ),
            (String::new(), 1, HashError::NoUsers),
            ("# one\n# two\n".to_owned(), 2, HashError::NoUsers),
        ];
        for (text, line, why) in cases {
            assert_eq!(parse_htpasswd(&text), Err((line, why)), "{text}");
        }
    }

    #[test]
    fn there_is_a_most_of_users() {
        let mut text = String::new();
        for number in 0..=MAX_USERS {
            text.push_str(&format!("user{number}:{TWO_A}\n"));
        }
        assert_eq!(
            parse_htpasswd(&text),
            Err((MAX_USERS + 1, HashError::TooMany))
        );
    }

    #[test]
    fn what_the_real_htpasswd_writes_is_read() {
        let made = std::process::Command::new("htpasswd")
            .args(["-nbB", "-C", "4", "carol", "s3cret: with a colon"])
            .output();
        let Ok(made) = made else {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: htpasswd (apache2-utils) is not installed"
            );
            return;
        };
        let text = String::from_utf8(made.stdout).unwrap();
        let users = parse_htpasswd(&text).unwrap();
        assert_eq!(users.len(), 1);
        assert_eq!(users[0].0, "carol");
        assert!(bcrypt::verify("s3cret: with a colon", &users[0].1).unwrap());
    }

    #[test]
    fn a_new_hash_is_salted_verifies_and_is_accepted() {
        let one = hash_with_cost("pässwörd".as_bytes(), MIN_COST).unwrap();
        let two = hash_with_cost("pässwörd".as_bytes(), MIN_COST).unwrap();
        assert_ne!(one, two);
        assert!(bcrypt::verify("pässwörd", &one).unwrap());
        assert!(Users::with("admin", &one).is_ok());
        assert!((MIN_COST..=MAX_COST).contains(&NEW_HASH_COST));
    }

    #[test]
    fn a_password_that_could_never_be_sent_is_refused() {
        let long = [b'x'; MAX_PASSWORD + 1];
        let cases: [(&[u8], PasswordError); 5] = [
            (b"", PasswordError::Empty),
            (b"a\tb", PasswordError::Control),
            (b"a\n", PasswordError::Control),
            (b"\xff", PasswordError::NotUtf8),
            (&long, PasswordError::TooLong),
        ];
        for (password, why) in cases {
            assert_eq!(hash_with_cost(password, MIN_COST), Err(why));
        }
        assert!(hash_with_cost(&[b'x'; MAX_PASSWORD], MIN_COST).is_ok());
    }

    #[test]
    fn debug_shows_no_hash() {
        let text = format!("{:?}", Users::with("alice", TWO_A).unwrap());
        assert_eq!(text, "{\"alice\"}");
    }
}
