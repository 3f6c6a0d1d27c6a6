use super::*;
use crate::identifier::resident_id;
use proptest::prelude::*;

/// A number with the right check digit in a region that exists and for nobody in particular.
fn id(order: u16) -> String {
    let body = format!("35029919000101{order:03}");
    let check = resident_id::check_character(body.as_bytes().try_into().unwrap()).unwrap();
    format!("{body}{}", char::from(check))
}

fn id_with_x() -> String {
    (0..1000).map(id).find(|number| number.ends_with('X')).unwrap()
}

fn card(body: &str) -> String {
    (0..10)
        .map(|digit| format!("{body}{digit}"))
        .find(|number| redact(number) != *number)
        .expect("one of ten check digits fits")
}

fn wide(number: &str) -> String {
    let wider = |character: char| char::from_u32(u32::from(character) + 0xFEE0).unwrap();
    number.chars().map(wider).collect()
}

#[test]
fn identity_numbers_are_masked_however_written() {
    for number in [id(1), id(2), id_with_x()] {
        let spaced = format!("{} {} {}", &number[..6], &number[6..14], &number[14..]);
        let single: String = number.chars().map(|digit| format!("{digit} ")).collect();
        for written in [
            number.clone(),
            number.to_lowercase(),
            wide(&number),
            spaced.clone(),
            spaced.replace(' ', "-"),
            spaced.replace(' ', "\u{3000}"),
            spaced.replace(' ', " - "),
            spaced.replace(' ', "\n"),
            single.trim().to_owned(),
        ] {
            for text in [
                format!("当事人张某（身份证号{written}）于2026年"),
                format!("ID{written},"),
                format!("2026-11-20 {written} 13"),
                written.clone(),
            ] {
                let masked = redact(&text);
                assert!(masked.contains("350299************"), "{text} became {masked}");
                assert!(!masked.contains("0101"), "{text} became {masked}");
                assert!(matches!(redact(&masked), Cow::Borrowed(_)), "{masked}");
            }
        }
    }
    assert_eq!(redact("旧证350299900101001。"), "旧证350299*********。");
    assert_eq!(redact("旧证350299 900101 001。"), "旧证350299*********。");
}

#[test]
fn phones_are_masked_however_written() {
    for (text, masked) in [
        ("电话13800138000。", "电话138********。"),
        ("电话：１３８００１３８０００", "电话：138********"),
        ("138 0013 8000", "138********"),
        ("138-0013-8000", "138********"),
        ("138 00138000", "138********"),
        ("1380-0138-000", "138********"),
        ("1 3 8 0 0 1 3 8 0 0 0", "138********"),
        ("+86 138 0013 8000", "+86 138********"),
        ("+8613800138000", "+86138********"),
        ("008613800138000", "0086138********"),
        ("013800138000", "0138********"),
        ("Tel13800138000", "Tel138********"),
        ("0592-5551234", "0592-*******"),
        ("(0592)5551234转8", "(0592-*******转8"),
        ("（0592）5551234", "（0592-*******"),
        ("0592 555 1234", "0592-*******"),
        ("010-55512345", "010-*******"),
        ("02055512345", "020-*******"),
        ("05925551234", "0592-*******"),
        ("甲13800138000乙15900159000丙", "甲138********乙159********丙"),
    ] {
        assert_eq!(redact(text), masked, "{text}");
    }
}

#[test]
fn cards_addresses_and_documents_are_masked() {
    let number = card("622202020011223");
    assert_eq!(redact(&format!("卡号{number}元")), "卡号622202**********元");
    let fours = format!("{} {} {} {}", &number[..4], &number[4..8], &number[8..12], &number[12..]);
    assert_eq!(redact(&fours), "622202**********");
    assert_eq!(redact("邮箱someone@mail.example。"), "邮箱s***@mail.example。");
    assert_eq!(redact("13800138000@mail.example"), "1***@mail.example");
    assert_eq!(redact("a@b.example@c.example"), "***");
    assert_eq!(
        redact("someone＠mail.example"),
        "***",
        "the mask does not know the wide sign and shows nothing"
    );
    assert_eq!(redact("持护照（号码E12345678）入境"), "持护照（号码E1*******）入境");
    assert_eq!(redact("护照：Ｅ１２３４５６７８"), "护照：E1*******");
    assert_eq!(redact("港澳居民来往内地通行证H12345678"), "港澳居民来往内地通行证H1*******");
    assert_eq!(redact("台湾居民来往大陆通行证12345678号"), "台湾居民来往大陆通行证12******号");
}

#[test]
fn a_number_that_runs_into_an_address_or_a_document_is_masked_too() {
    // An X is a number's last character only where a word ends.
    let number = (0..1000).map(id).find(|number| !number.ends_with('X')).unwrap();
    let spaced = format!("{} {} {}", &number[..6], &number[6..14], &number[14..]);
    for (before, after) in [
        ("邮箱someone@mail.example", ""),
        ("邮箱someone@mail.", "，"),
        ("邮箱someone＠mail.example", "。"),
        ("", "someone@mail.example"),
        ("护照E", ""),
    ] {
        for number in [&number, &spaced, &wide(&number)] {
            let masked = redact(&format!("{before}{number}{after}")).into_owned();
            let shown: String = masked.chars().filter(|c| c.is_numeric()).collect();
            assert!(
                shown.chars().count() <= 6 && !shown.contains("0101"),
                "{before}{number}{after} became {masked}"
            );
        }
    }
    assert_eq!(redact(&format!("someone@mail.example{number}")), format!("so{}", "*".repeat(34)));
}

#[test]
fn ordinary_numbers_survive() {
    let wrong_check = {
        let right = id(1);
        let last = if right.ends_with('1') { '2' } else { '1' };
        format!("{}{last}", &right[..17])
    };
    for text in [
        "",
        "2026年11月20日，罚款人民币20000元（大写：贰万元整）。",
        "厦市监罚决字〔2026〕1380013号",
        "统一社会信用代码91350200MA00000178",
        "N2450400MF0000013Y",
        "订单2026112012345678901",
        "编号20261120123456789",
        "123456789012345678",
        "2026112013800138000",
        "13800138000138001380",
        "A13800138000",
        "13800138000kg",
        "金额 1500 3200 800 元",
        "1999-2005-001",
        "面积1380.0138平方米",
        "2026-11-20 08:00:00",
        "护照。编号12345678",
        "批号E12345678",
        "a@b",
        "@mail.example",
        "电话5551234",
        "0000000000",
        wrong_check.as_str(),
    ] {
        assert!(matches!(redact(text), Cow::Borrowed(_)), "{text} became {}", redact(text));
    }
}

#[test]
fn finds_are_in_order_and_apart() {
    let text = format!("甲{}，13800138000，a.b@mail.example，护照E12345678", id(7));
    let finds = find(&text);
    let kinds: Vec<Kind> = finds.iter().map(|find| find.kind).collect();
    assert_eq!(kinds, [Kind::ResidentId, Kind::Mobile, Kind::EMail, Kind::Document]);
    assert!(finds.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
}

#[test]
fn time_is_linear_in_hostile_text() {
    let size = 1 << 17;
    for piece in ["1", "1 ", "1-", "１", "@", "a@", "护照1", "1)", "X", "5X ", "12345 "] {
        let text = piece.repeat(size / piece.len());
        let start = std::time::Instant::now();
        let _ = redact(&text);
        assert!(start.elapsed().as_secs() < 20, "{piece} took {:?}", start.elapsed());
    }
}

proptest! {
    #[test]
    fn planted_values_never_survive(
        before in "[一-龥，。a-z]{0,20}", after in "([一-龥，。][一-龥，。a-z0-9 ]{0,20})?", order in 0u16..1000,
    ) {
        let number = id(order);
        let text = format!("{before}{number}{after}");
        let masked = redact(&text).into_owned();
        prop_assert!(!masked.contains(&number[6..]));
        prop_assert!(masked.contains("350299************"));
    }

    #[test]
    fn any_text_is_scanned_without_panic(text in "\\PC{0,60}|[0-9Xx０-９ @()）.\\-护照]{0,60}") {
        let masked = redact(&text).into_owned();
        prop_assert_eq!(redact(&masked).into_owned(), masked);
    }

    #[test]
    fn text_without_digits_or_at_signs_is_borrowed(text in "[^0-9０-９@＠]{0,80}") {
        prop_assert!(matches!(redact(&text), Cow::Borrowed(same) if same == text));
    }
}
