//! Users, Basic credentials and their verification.
