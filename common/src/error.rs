use std::error::Error;
use std::fmt;

/// Any error, with its sources.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Shows an error and its sources on one line, each once.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'e>(pub &'e (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            let text = source.to_string();
            // Some errors say their source themselves.
            if !last.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            last = text;
            next = source.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn source_that_was_said_already_is_not_said_again() {
        let refused = |source| Layer {
            text: "refused (os error 111)",
            source,
        };
        let said = Layer {
            text: "no connection: refused (os error 111)",
            source: Some(Box::new(refused(None))),
        };
        let whole = Layer {
            text: "database is out of reach",
            source: Some(Box::new(said)),
        };

        let chain = Chain(&whole).to_string();

        assert_eq!(
            chain,
            "database is out of reach: no connection: refused (os error 111)"
        );
    }
}
