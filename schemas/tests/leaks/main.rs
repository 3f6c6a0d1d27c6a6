//! What must not reach a public recipient whichever field it was put into. Each test sends records through the shipped
//! catalogue to the portal and the agency, and looks for what was planted in every byte.

mod cases;
mod errors;
mod policies;
mod references;
mod sent;
mod subjects;
mod values;
