//! Message heads.
