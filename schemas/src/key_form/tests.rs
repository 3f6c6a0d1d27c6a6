use super::*;
use crate::Catalogue;
use crate::text::comparison_form;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

static SCHEMA: LazyLock<Arc<Schema>> =
    LazyLock::new(|| Catalogue::builtin().unwrap().schema("administrative-penalty-2020").unwrap().clone());

/// A person's number that is nobody's: no region 35 02 99.
const LONG: &str = "35029919900101001";

fn part(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

/// Form 1 as a schema writes it.
fn form_1(subject: &str, document: &str, decided: &str) -> Vec<u8> {
    [subject, document, decided].map(|text| part(&comparison_form(text))).concat()
}

fn form_2(form_1: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(SCHEMA.key_form_2(form_1, &mut out));
    out
}

fn document(text: &str) -> Vec<u8> {
    form_2(&form_1("x", text, "2026/11/20"))
}

fn subject(text: &str) -> Vec<u8> {
    form_2(&form_1(text, "1", "2026/11/20"))
}

fn long() -> String {
    let check = resident_id::check_character(LONG.as_bytes().try_into().unwrap()).unwrap();
    format!("{LONG}{}", char::from(check))
}

fn credit_code(inner: &str) -> (String, String) {
    let organisation = format!(
        "{inner}{}",
        char::from(organisation_code::check_character(inner.as_bytes().try_into().unwrap()).unwrap())
    );
    let first = format!("91350200{organisation}");
    let check = uscc::check_character(first.as_bytes().try_into().unwrap()).unwrap();
    (format!("{first}{}", char::from(check)), organisation)
}

#[test]
fn brackets_of_every_shape_are_one() {
    let plain = document("厦监罚〔2026〕1号");
    for pair in [
        "﹝﹞", "❲❳", "「」", "『』", "〘〙", "︹︺", "＜＞", "<>", "〈〉", "《》", "⟨⟩", "⟦⟧", "｢｣", "«»",
        "‹›", "⦅⦆", "｟｠", "〚〛", "︵︶", "﹁﹂", "【】", "[]", "（）", "⸨⸩",
    ] {
        let (open, close) = pair.split_at(pair.len() / 2);
        assert_eq!(document(&format!("厦监罚{open}2026{close}1号")), plain, "{pair}");
    }
    assert_ne!(document("厦监罚2026)1号"), plain);
}

#[test]
fn invisible_characters_are_nothing() {
    let plain = document("厦监罚〔2026〕1号");
    for hidden in [
        '\u{AD}',
        '\u{200E}',
        '\u{FE0F}',
        '\u{2064}',
        '\u{180E}',
        '\u{3164}',
        '\u{34F}',
        '\u{61C}',
        '\u{115F}',
        '\u{17B4}',
        '\u{200B}',
        '\u{200F}',
        '\u{202E}',
        '\u{2066}',
        '\u{2800}',
        '\u{FEFF}',
        '\u{FFA0}',
        '\u{FFF9}',
        '\u{E0001}',
        '\u{E0100}',
        '\u{1D173}',
        '\u{3000}',
    ] {
        for text in [
            format!("厦监罚〔2026〕{hidden}1号"),
            format!("{hidden}厦监罚〔2026〕1号"),
            format!("厦监罚〔2026〕1号{hidden}"),
        ] {
            assert_eq!(document(&text), plain, "{}", hidden.escape_unicode());
        }
    }
}

#[test]
fn a_person_has_one_number() {
    let (long, short) = (long(), "350299900101001");
    assert_eq!(subject(short), subject(&long));
    assert_eq!(subject(&long.to_lowercase()), subject(&long));
    assert_ne!(subject("350299900101002"), subject(&long));
    // Not a date, no province, kept for those born before 1900.
    for other in ["350299901301001", "990299900101001", "350299900101998"] {
        assert_ne!(subject(other), subject(&long), "{other}");
    }
    assert_ne!(document(short), document(&long), "documents are numbered as they are");
}

#[test]
fn an_organisation_has_one_number() {
    let (credit, organisation) = credit_code("MA000001");
    assert_eq!(subject(&credit), subject(&organisation));
    let (head, check) = organisation.split_at(8);
    assert_eq!(subject(&format!("{head}-{check}")), subject(&organisation));
    assert_ne!(subject(&credit), subject(&credit_code("MA000002").1));
    assert_ne!(subject(uscc::PLACEHOLDER), subject("00000000X"));
    assert_ne!(document(&credit), document(&organisation));
}

#[test]
fn every_dataset_and_generation_knows_the_numbers_of_subjects() {
    let catalogue = Catalogue::builtin().unwrap();
    for schema in ["administrative-penalty", "administrative-licence"]
        .iter()
        .flat_map(|dataset| ["2017", "2020"].map(|generation| format!("{dataset}-{generation}")))
        .chain(["xm-penalty".to_owned(), "xm-licence".to_owned()])
    {
        let schema = catalogue.schema(&schema).unwrap();
        let subject: Vec<_> =
            schema.key.iter().filter(|part| schema.holds_a_number_of_a_subject(part)).collect();
        assert_eq!(
            subject.iter().map(|part| &*part.name).collect::<Vec<_>>(),
            ["subject"],
            "{}",
            schema.id()
        );
    }
}

#[test]
fn what_is_not_form_1_has_no_form_2() {
    let whole = form_1("a", "b", "c");
    for wrong in [&whole[..whole.len() - 1], &[], &[0, 0, 0, 9, b'a'], &[&whole[..], &[0]].concat()] {
        let mut out = vec![7];
        assert!(!SCHEMA.key_form_2(wrong, &mut out));
        assert_eq!(out, [7]);
    }
}

proptest! {
    #[test]
    fn form_2_is_final(
        subject in "\\PC{0,20}|[0-9]{15}|[0-9A-HJ-NPQRTUWXY]{18}|[0-9A-Z]{8}-?[0-9X]",
        document in "\\PC{0,20}|[「」<>〔〕a-z一-龥\u{AD}\u{200E}\u{FE0F}]{0,20}",
    ) {
        let once = form_2(&form_1(&subject, &document, "2026/11/20"));
        prop_assert_eq!(form_2(&once), once.clone());
        // Of a text in form 2, form 1 is the text.
        let text = take_part(&mut &once[4 + u32::from_be_bytes(*once.first_chunk().unwrap()) as usize..]).unwrap();
        prop_assert_eq!(comparison_form(text), text);
    }

    #[test]
    fn ideographs_are_never_folded(one in "[㐀-䶿一-鿿豈-龎\u{20000}-\u{2A6DF}]", other in "[㐀-䶿一-鿿豈-龎\u{20000}-\u{2A6DF}]") {
        prop_assert_eq!(document(&one) == document(&other), one == other);
        prop_assert_eq!(subject(&one) == subject(&other), one == other);
    }

    #[test]
    fn what_is_skipped_quickly_would_not_change(character in any::<char>()) {
        let mut utf8 = [0; 4];
        if character.encode_utf8(&mut utf8).bytes().all(stays) {
            prop_assert_eq!(folded(character), Some(character));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = SCHEMA.key_form_2(&bytes, &mut Vec::new());
    }
}
