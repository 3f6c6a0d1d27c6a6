//! Numbers that name organisations and persons: what each must look like, checked digit by digit.
//!
//! A check takes text in *normal form* (see [`normalise`]) and answers with what kind of number it is, or
//! with one [`Error`] that says which part is wrong. What is allowed but odd carries a [`Doubt`]: such a
//! record is accepted and reported as 疑问数据. Nothing here allocates on the good path, and no error
//! repeats the value.

pub mod organisation_code;
pub mod other;
mod region;
pub mod registration;
pub mod resident_id;
pub mod uscc;

mod form;
mod normal;
mod problem;

pub use form::Form;
pub use normal::normalise;
pub use problem::{Doubt, Error};
pub use region::{is_region_shape, province_known};
