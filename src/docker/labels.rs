//! A container's labels as JSON. miniserde reads maps into the standard library's trees only, which
//! are 5 KB of the binary.

use crate::sorted::Map;
use miniserde::de::{self, Deserialize, Visitor};

miniserde::make_place!(Place);

/// The values by their keys; null is an empty value.
#[derive(Default)]
pub struct Labels(pub Map<String, String>);

impl Deserialize for Labels {
    fn begin(out: &mut Option<Self>) -> &mut dyn Visitor {
        Place::new(out)
    }
}

impl Visitor for Place<Labels> {
    fn map(&mut self) -> miniserde::Result<Box<dyn de::Map + '_>> {
        Ok(Box::new(Builder {
            out: &mut self.out,
            labels: Map::default(),
            key: None,
            value: None,
        }))
    }
}

struct Builder<'a> {
    out: &'a mut Option<Labels>,
    labels: Map<String, String>,
    key: Option<String>,
    /// miniserde puts it here after it has told the key.
    value: Option<Option<String>>,
}

impl Builder<'_> {
    /// Takes over the pair that is complete.
    fn shift(&mut self) {
        if let (Some(key), Some(value)) = (self.key.take(), self.value.take()) {
            self.labels.insert(key, value.unwrap_or_default());
        }
    }
}

impl de::Map for Builder<'_> {
    fn key(&mut self, key: &str) -> miniserde::Result<&mut dyn Visitor> {
        self.shift();
        self.key = Some(key.to_owned());
        Ok(Deserialize::begin(&mut self.value))
    }

    fn finish(&mut self) -> miniserde::Result<()> {
        self.shift();
        *self.out = Some(Labels(std::mem::take(&mut self.labels)));
        Ok(())
    }
}
