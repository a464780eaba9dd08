//! The schemas of the events: generated from the Rust types, committed under `schemas/generated`,
//! checked to be what the types say, and judged against what was released (`schemas/released`).

mod asyncapi;
mod check;
pub mod compat;
mod documents;
mod json;
mod list;
pub mod released;
mod rules;
mod site;
mod typescript;

pub use asyncapi::{ASYNCAPI, asyncapi};
pub use check::{Difference, compare};
pub use documents::{Documents, GenerateError, documents, write};
pub use list::{UnknownService, list_all, list_service};
pub use rules::{BrokenRule, Rule};
pub use site::{PAGE, site};
pub use typescript::{TYPESCRIPT, TypeScriptError, typescript};
