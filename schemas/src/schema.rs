//! One generation of a dataset's fields, roles and rules, compiled from its catalogue file.

pub(crate) mod json_schema;
pub(crate) mod names;

use std::fmt;
use std::sync::Arc;

use crate::finding::Severity;
use crate::identifier::Form;
use crate::identifier::registration::Column;
use crate::model::{Audience, SubjectKind};
use crate::record::Member;
use crate::text::Unit;
use names::NameIndex;

/// A title in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// A schema, ready to decode and validate with.
pub struct Schema {
    pub(crate) id: Arc<str>,
    pub(crate) dataset: Arc<str>,
    pub(crate) generation: String,
    pub(crate) title: Title,
    pub(crate) fields: Vec<Field>,
    pub(crate) names: NameIndex,
    pub(crate) key: Vec<KeyPart>,
    pub(crate) roles: Roles,
    pub(crate) subject_kind: SubjectKindRule,
    pub(crate) subject: SubjectFields,
    pub(crate) audience: Option<AudienceRule>,
    pub(crate) default_audience: Audience,
    pub(crate) status: Option<StatusRule>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) document: Vec<u8>,
    pub(crate) digest: [u8; 32],
}

impl Schema {
    /// The schema id, `<dataset or table>-<generation>`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The dataset it belongs to.
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// The generation, e.g. `2020`.
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// Its title.
    pub fn title(&self) -> &Title {
        &self.title
    }

    /// Its fields, in file order; a field's place is the number of its slot.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The number of the field with this code, alias or title.
    pub fn field_number(&self, name: &str) -> Option<usize> {
        self.names.get(name.as_bytes()).map(usize::from).filter(|number| *number < self.fields.len())
    }

    /// SHA-256 of [`Schema::document`].
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What the digest is of: the catalogue file and the code sets it refers to.
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// Names under which the slots behind the fields go.
    pub(crate) fn member_names(fields: usize) -> impl Iterator<Item = (String, u16)> {
        let number =
            move |member: Member| u16::try_from(fields + member as usize).expect("checked by the loader");
        Member::ALL.into_iter().map(move |member| (member.name().to_owned(), number(member)))
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({}, {} fields)", self.id, self.fields.len())
    }
}

/// One field of a schema.
#[derive(Debug)]
pub struct Field {
    pub(crate) code: Arc<str>,
    pub(crate) title: String,
    pub(crate) title_en: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) kind: FieldType,
    pub(crate) class: Arc<str>,
    pub(crate) required: bool,
    pub(crate) secret: bool,
    pub(crate) clean: Clean,
    pub(crate) note: Option<String>,
}

impl Field {
    /// The code, the field's name in lines.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The Chinese title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Further accepted names.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// What it accepts.
    pub fn kind(&self) -> &FieldType {
        &self.kind
    }

    /// What policies decide by.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// True if templates and feedback must not show an example of it.
    pub fn secret(&self) -> bool {
        self.secret
    }

    /// The English title.
    pub fn title_en(&self) -> Option<&str> {
        self.title_en.as_deref()
    }

    /// True if it must be filled whatever the rest says.
    pub fn required(&self) -> bool {
        self.required
    }
}

impl Field {
    /// True if a value that the schema accepts can hold neither prose nor a number of a person: a date, a number, a code
    /// without a text behind it, a region, a credit code or organisation code with its check.
    pub fn has_no_text(&self) -> bool {
        match &self.kind {
            FieldType::Date | FieldType::Number { .. } => true,
            FieldType::Code { set, .. } => set.values.iter().all(|value| value.suffix.is_none()),
            FieldType::Identifier { form, .. } => {
                matches!(form, Form::Uscc | Form::OrganisationCode | Form::Region)
            }
            FieldType::Text(_) | FieldType::Certificate { .. } => false,
        }
    }

    /// The column of numbers of organisations, some of which look like a person's by chance; none if others belong here.
    pub(crate) fn column(&self) -> Option<Column> {
        match (&*self.class, &self.kind) {
            ("subject-tax-code", _) | (_, FieldType::Identifier { form: Form::TaxNumber, .. }) => {
                Some(Column::TaxNumbers)
            }
            ("subject-code", _) | (_, FieldType::Identifier { form: Form::RegistrationNumber, .. }) => {
                Some(Column::Codes)
            }
            _ => None,
        }
    }

    /// True if a person's number, a phone or an account is at home here, so that finding one is no surprise.
    pub(crate) fn expects_personal_numbers(&self) -> bool {
        const AT_HOME: [&str; 6] =
            ["person-id", "representative-id", "contact", "bank-account", "subject-tax-code", "internal"];
        AT_HOME.contains(&&*self.class)
    }
}

/// What a field accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Any text within a length.
    Text(Limits),
    /// A plain decimal number.
    Number {
        /// Digits in all.
        precision: u32,
        /// Digits behind the point.
        scale: u32,
    },
    /// A business date.
    Date,
    /// One or several values of a code set.
    Code {
        /// The allowed values.
        set: Arc<CodeSet>,
        /// Present: several values, joined by it.
        separator: Option<Box<str>>,
        /// Length of the whole, if limited.
        limits: Option<Limits>,
    },
    /// An identifier with a form of its own.
    Identifier {
        /// Which one.
        form: Form,
        /// Values that stand for "none" (accepted with a warning).
        placeholders: Vec<Box<str>>,
    },
    /// A document number whose kind another field names.
    Certificate {
        /// Number of that field.
        kind_field: u16,
        /// Kinds with which it must be a certain identifier.
        forms: Vec<(Box<str>, Form)>,
        /// Length in any case.
        limits: Limits,
    },
}

/// How long a text may be and from which characters it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The greatest length.
    pub max: usize,
    /// What the length counts.
    pub unit: Unit,
    /// The allowed characters.
    pub repertoire: CodePage,
}

/// From which characters a text may be made, beyond what no text may hold (control characters, noncharacters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodePage {
    /// All of Unicode, which GB18030 covers.
    Any,
    /// Those of GBK, for recipients with old columns.
    Gbk,
}

/// The allowed values of a code field.
#[derive(Debug, PartialEq, Eq)]
pub struct CodeSet {
    pub(crate) id: Arc<str>,
    pub(crate) title: Title,
    pub(crate) values: Vec<CodeValue>,
}

impl CodeSet {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its title.
    pub fn title(&self) -> &Title {
        &self.title
    }

    /// Its values, in file order.
    pub fn values(&self) -> &[CodeValue] {
        &self.values
    }

    /// The codes, joined for a message; long sets are cut after 20.
    pub(crate) fn listed(&self) -> String {
        let mut codes: Vec<&str> = self.values.iter().take(20).map(|value| &*value.code).collect();
        if self.values.len() > 20 {
            codes.push("…");
        }
        codes.join(" | ")
    }
}

/// One allowed value.
#[derive(Debug, PartialEq, Eq)]
pub struct CodeValue {
    /// What the line carries.
    pub code: Box<str>,
    /// The meaning in English.
    pub en: Option<String>,
    /// The separator and whether a text must follow it (其他-**).
    pub suffix: Option<Suffix>,
    /// Spellings taken for this code.
    pub accept: Vec<Box<str>>,
}

/// A description that goes on behind a code.
#[derive(Debug, PartialEq, Eq)]
pub struct Suffix {
    /// Between code and description.
    pub separator: Box<str>,
    /// The code alone is not enough.
    pub required: bool,
}

/// Explicit cleaning steps of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clean {
    pub(crate) trim: bool,
    pub(crate) null_word: bool,
    pub(crate) fold_width: bool,
    pub(crate) normal_form: bool,
}

/// One part of the record key: the first of these fields that is filled.
#[derive(Debug)]
pub(crate) struct KeyPart {
    pub(crate) name: Arc<str>,
    pub(crate) fields: Vec<u16>,
}

/// Which field plays which part.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    pub(crate) authority_code: Option<u16>,
    pub(crate) authority_name: Option<u16>,
    pub(crate) decision_date: Option<u16>,
    pub(crate) publication_end: Option<u16>,
}

/// How the subject's kind is told.
#[derive(Debug)]
pub(crate) enum SubjectKindRule {
    Always(SubjectKind),
    Field { field: u16, values: Vec<(Box<str>, SubjectKind)> },
    Organisation { when_any: Vec<u16>, individual_business: Option<(u16, Vec<Box<str>>)> },
}

/// The fields that tell whom a record is about, by class.
#[derive(Debug, Default)]
pub(crate) struct SubjectFields {
    pub(crate) codes: Vec<u16>,
    pub(crate) tax: Vec<u16>,
    pub(crate) names: Vec<u16>,
    pub(crate) representatives: Vec<u16>,
}

impl SubjectFields {
    pub(crate) fn of(fields: &[Field]) -> Self {
        let of_class = |class: &str| {
            let numbers = (0u16..).zip(fields).filter(|(_, field)| &*field.class == class);
            numbers.map(|(number, _)| number).collect()
        };
        Self {
            codes: of_class("subject-code"),
            tax: of_class("subject-tax-code"),
            names: of_class("subject-name"),
            representatives: of_class("person-name"),
        }
    }
}

/// How the usage scope is read.
#[derive(Debug)]
pub(crate) struct AudienceRule {
    pub(crate) field: u16,
    pub(crate) values: Vec<(Box<str>, Audience)>,
    pub(crate) blank: Audience,
}

/// Which status values mean that the record is revoked.
#[derive(Debug)]
pub(crate) struct StatusRule {
    pub(crate) field: u16,
    pub(crate) revoked: Vec<Box<str>>,
}

/// One rule between fields.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) kind: RuleKind,
    pub(crate) fields: Vec<u16>,
    pub(crate) when: Condition,
    pub(crate) severity: Severity,
}

#[derive(Debug)]
pub(crate) enum RuleKind {
    RequiredWhen,
    BlankWhen,
    AtLeastOneOf { listed: String },
    NotBefore { than: u16 },
    NotAfterReceipt,
    PlausibleRange { min: Option<Bound>, max: Option<Bound> },
    StartsWith { prefixes: Vec<Box<str>> },
    DoubtfulValue { values: Vec<Box<str>> },
}

/// An end of a plausible range.
#[derive(Debug)]
pub(crate) enum Bound {
    Number(String),
    Date(String),
}

impl Bound {
    pub(crate) fn text(&self) -> &str {
        match self {
            Bound::Number(text) | Bound::Date(text) => text,
        }
    }
}

/// When a rule applies. All members must hold.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    pub(crate) subject_kinds: Option<[bool; 3]>,
    pub(crate) field: Option<(u16, Test)>,
    /// The condition in words: "when CF_CFLB contains 罚款".
    pub(crate) en: String,
    pub(crate) zh: String,
}

#[derive(Debug)]
pub(crate) enum Test {
    Is(Vec<Box<str>>),
    Contains(Vec<Box<str>>),
    Filled(bool),
}

impl CodeValue {
    /// What the line carries.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Whether a text may or must follow it.
    pub fn suffix(&self) -> Option<&Suffix> {
        self.suffix.as_ref()
    }
}
