//! Record model, validation, mapping and desensitisation, driven by catalogue files.
//!
//! The path of a record through this crate: [`decode()`] turns a body into [`RawRecord`]s, [`Schema::validate`] turns one into a
//! [`ValidRecord`], and [`Route::release`] turns that into the line of one recipient: mapped to the recipient's schema, without
//! what its policy does not release. [`ValidRecord`] and [`Released`] can only be made by those two functions, so a skipped
//! check does not compile.
//!
//! Promises: no I/O but reading catalogue files; no panic on any input; values of records never appear in findings, errors or
//! `Debug` output; nothing is truncated, folded or guessed in silence.

pub mod calendar;
pub mod catalogue;
pub mod date;
pub mod decode;
pub mod finding;
pub mod identifier;
mod key_form;
pub mod mapping;
pub mod mask;
pub mod model;
pub mod number;
pub mod policy;
pub mod problem;
pub mod record;
pub mod route;
pub mod scan;
pub mod schema;
pub mod synthetic;
pub mod text;
pub mod validate;

pub use catalogue::check::{CheckFinding, CheckKind};
pub use catalogue::error::{LoadError, LoadErrors};
pub use catalogue::{Catalogue, CatalogueFile, Dataset, ReadAsScan, Retention};
pub use date::Date;
pub use decode::{BodyError, Caps, Charset, Format, decode};
pub use finding::{Finding, Severity};
pub use mapping::Mapping;
pub use model::{Audience, RecordStatus, SubjectKind};
pub use policy::{Action, Admission, Policy, RecipientKind};
pub use record::{Member, RawRecord, Slot};
pub use route::explain::{ExplainRow, Explanation};
pub use route::line::{LineHead, RecallLine, recall_line};
pub use route::{Digests, Release, Released, Route, RouteError, RouteSecrets, WithheldReason};
pub use schema::{Field, FieldType, Schema};
pub use validate::Subject;
pub use validate::recall::{RecallEffect, RecallRequest};
pub use validate::{SourceUnit, ValidRecord, ValidateContext};
