//! How often a number of the one sort is taken for one of the other, on generated numbers: the figures of SECURITY.md.
//! `cargo test -p xinqiao-schemas --test leaks errors -- --nocapture` prints them.

use crate::sent::{business, catalogue, company, context, resident};
use xinqiao_schemas::identifier::registration::{self, Column};
use xinqiao_schemas::identifier::{organisation_code, resident_id, uscc};
use xinqiao_schemas::{Date, SubjectKind, scan};

/// Draws the same numbers in every run.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: u32) -> u32 {
        // The upper half of a linear congruence is even enough for this.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(end)).expect("below a number of 32 bits")
    }

    /// Six digits of a division that may exist.
    pub(crate) fn region(&mut self) -> String {
        const PROVINCES: [u8; 31] = [
            11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52,
            53, 54, 61, 62, 63, 64, 65,
        ];
        let province = PROVINCES[self.below(31) as usize];
        format!("{province}{:02}{:02}", self.below(24), self.below(30))
    }

    /// A birthday of somebody who had a number of the first generation: they were given from 1984 to 1999, at sixteen.
    fn birthday(&mut self) -> String {
        let days = 365 * 60;
        let born =
            Date::new(1925, 1, 1).expect("a day").to_days() + i32::try_from(self.below(days)).expect("small");
        let born = Date::from_days(born).expect("a day");
        format!("{:02}{:02}{:02}", born.year() % 100, born.month(), born.day())
    }

    fn first_generation(&mut self) -> String {
        format!("{}{}{:03}", self.region(), self.birthday(), self.below(996))
    }

    fn registration_number(&mut self, business: bool) -> String {
        let serial = if business { 6 + self.below(4) } else { self.below(6) };
        let first = format!("{}{serial}{:07}", self.region(), self.below(10_000_000));
        let check =
            registration::check_digit(first.as_bytes().try_into().expect("14 digits")).expect("digits");
        format!("{first}{}", char::from(check))
    }
}

/// Of so many numbers the share, in thousandths.
fn share(count: u32, mut is: impl FnMut() -> bool) -> f64 {
    let hits = (0..count).filter(|_| is()).count();
    1000.0 * f64::from(u32::try_from(hits).expect("as many at most")) / f64::from(count)
}

const MANY: u32 = 200_000;

#[test]
fn numbers_of_fifteen_digits_are_told_apart_as_often_as_said() {
    let mut draw = Draw::new(1);
    let mut taken =
        |column, kind| share(MANY, || registration::is_organisations(&draw.first_generation(), column, kind));
    // A person's number of the first generation that is taken for an organisation's, and so is not masked there.
    let of_company = taken(Column::Codes, SubjectKind::LegalPerson);
    let of_business = taken(Column::Codes, SubjectKind::IndividualBusiness);
    let of_tax = taken(Column::TaxNumbers, SubjectKind::LegalPerson);
    // An organisation's that is taken for a person's, and so is masked.
    let mut draw = Draw::new(2);
    let mut masked = |business, kind| {
        share(MANY, || {
            let number = draw.registration_number(business);
            !registration::is_organisations(&number, Column::Codes, kind)
                && scan::holds_personal_number(&number)
        })
    };
    let company_masked = masked(false, SubjectKind::LegalPerson);
    let business_masked = masked(true, SubjectKind::IndividualBusiness);
    // The same of one without a sound check digit, as before 2007, or with the seventh digit of the other kind.
    let mut draw = Draw::new(3);
    let unchecked_masked = share(MANY, || {
        let number = format!("{}{:09}", draw.region(), draw.below(1_000_000_000));
        !registration::is_organisations(&number, Column::Codes, SubjectKind::LegalPerson)
            && scan::holds_personal_number(&number)
    });
    let looks = share(MANY, || resident_id::may_be_first_generation(&draw.registration_number(false)));
    println!(
        "first generation taken for an organisation's, per thousand: registration number of a company {of_company:.1}, of an \
         individual business {of_business:.1}, tax number {of_tax:.1}"
    );
    println!(
        "registration number taken for a person's, per thousand: of a company {company_masked:.1}, of an individual business \
         {business_masked:.1}, without a sound check digit {unchecked_masked:.1}; looks like one {looks:.1}"
    );
    assert!((50.0..70.0).contains(&of_company), "{of_company}");
    assert!((30.0..50.0).contains(&of_business), "{of_business}");
    assert!((80.0..100.0).contains(&of_tax), "{of_tax}");
    assert_eq!((company_masked, business_masked), (0.0, 0.0));
    assert!((20.0..40.0).contains(&unchecked_masked), "{unchecked_masked}");
    assert!(looks > 10.0, "a registration number that looks like a person's is no rarity: {looks}");
}

#[test]
fn a_persons_number_is_a_credit_code_as_seldom_as_said_and_the_other_way_round() {
    let mut draw = Draw::new(4);
    let mut person = || {
        let day = Date::from_days(i32::try_from(draw.below(25_000)).expect("small")).expect("a day");
        resident(&format!(
            "{}{:04}{:02}{:02}{:03}",
            draw.region(),
            day.year() - 20,
            day.month(),
            day.day().min(28),
            draw.below(1000)
        ))
    };
    let mut passed = 0;
    let doubted = share(300_000, || match uscc::check(&person()) {
        Ok(kind) => {
            passed += u32::from(kind != uscc::Kind::MayBeResidentNumber);
            true
        }
        Err(_) => false,
    });
    assert_eq!(passed, 0, "of none it is said that it is an ordinary credit code");
    // Codes of digits alone, as organisations have whose code is older than 2015.
    let mut draw = Draw::new(5);
    let mut refused = 0;
    let alike = share(300_000, || {
        let inner = format!("{:08}", draw.below(100_000_000));
        let check = organisation_code::check_character(inner.as_bytes().try_into().expect("eight"));
        let body = format!("91{}{inner}{}", draw.region(), char::from(check.expect("digits")));
        let check = uscc::check_character(body.as_bytes().try_into().expect("seventeen"));
        match uscc::check(&format!("{body}{}", char::from(check.expect("in the alphabet")))) {
            Ok(kind) => kind == uscc::Kind::MayBeResidentNumber,
            Err(_) => {
                refused += 1;
                false
            }
        }
    });
    println!("resident numbers that are sound credit codes too, per thousand: {doubted:.4}");
    println!(
        "credit codes of digits alone that are sound resident numbers too, per thousand: {alike:.4}, refused {refused}"
    );
    assert!((0.2..0.8).contains(&doubted) && alike < 0.2, "{doubted} {alike}");
    assert_eq!(refused, 0, "no sound code is refused");
}

/// What the figures stand for: the way through a record.
#[test]
fn a_number_of_fifteen_digits_is_judged_by_the_kind_of_its_holder() {
    let catalogue = catalogue();
    let received = context().received;
    let mut draw = Draw::new(6);
    let mut find = |business: bool| loop {
        let number = draw.registration_number(business);
        if resident_id::check(&number, received).is_ok() {
            return number;
        }
    };
    let (of_company, of_business) = (find(false), find(true));
    for (record, own, other) in
        [(company(), &of_company, &of_business), (business(), &of_business, &of_company)]
    {
        let send = |number: &str| {
            let record = crate::sent::with(record.clone(), "CF_XDR_GSZC", number);
            crate::sent::send(&catalogue, crate::sent::NEW, crate::sent::NEW, &record)
        };
        let shown = send(own);
        assert!(shown.lines[0].contains(own.as_str()) && shown.told.is_empty(), "{:?}", shown.told);
        let masked = send(other);
        masked.never_shows(&[other.as_str()]);
        masked.doubts("CF_XDR_GSZC", "field.personal-number");
    }
}
