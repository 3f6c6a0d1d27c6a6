//! Addresses: cut after the county level, where that can be told.

/// What is left is province, city and county as far as they are written; stars stand for the rest.
pub(super) fn mask(address: &str, out: &mut String) {
    out.push_str(down_to_county(address));
    out.push_str("****");
}

/// The part of an address that names province, city and county; empty if it begins otherwise.
pub(super) fn down_to_county(address: &str) -> &str {
    cut(address, 3)
}

/// The part that names province and city.
pub(super) fn down_to_city(address: &str) -> &str {
    cut(address, 2)
}

/// Reads division names one after the other, each of a lower level than the one before, and stops at the
/// first word that is none: a street, a village, a number, anything too long.
fn cut(address: &str, lowest: u8) -> &str {
    let (mut end, mut level, mut word) = (0, 0, Word::default());
    for (at, character) in address.char_indices() {
        if character.is_ascii() || STOPS.contains(&character) {
            break;
        }
        word.length += 1;
        if word.length > LONGEST {
            break;
        }
        if let Some(found) = division_level(character, &word, level)
            && word.length >= 2
        {
            if found > lowest {
                break;
            }
            level = found;
            end = at + character.len_utf8();
            word = Word::default();
            if level == lowest {
                break;
            }
            continue;
        }
        word.before = word.last;
        word.last = character;
    }
    &address[..end]
}

/// The word being read: its last two characters and its length.
#[derive(Default)]
struct Word {
    before: char,
    last: char,
    length: usize,
}

/// The longest names of divisions, autonomous counties of several peoples, have fifteen characters.
const LONGEST: usize = 16;

/// What begins or names places smaller than a county.
const STOPS: [char; 20] = [
    '路', '街', '道', '巷', '弄', '号', '村', '镇', '乡', '栋', '幢', '室', '楼', '组', '屯', '里', '，',
    '、', '（', '(',
];

/// Level of the division that ends with this character: 1 province, 2 city, 3 county.
fn division_level(character: char, word: &Word, after: u8) -> Option<u8> {
    let level = match (character, word.before, word.last) {
        ('省', _, _) | ('区', '治', _) | ('区', _, '治') | ('区', '政', _) | ('区', _, '政') => 1,
        ('市', _, '超' | '城' | '夜' | '菜' | '闹')
        | ('区', _, '小' | '社' | '厂' | '校' | '园' | '库' | '矿') => return None,
        // A city below a city is a county-level city.
        ('市', _, _) if after >= 2 => 3,
        ('市' | '州' | '盟', _, _) | ('区', '地', _) => 2,
        ('区' | '县' | '旗', _, _) => 3,
        _ => return None,
    };
    (level > after).then_some(level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_end_at_the_county() {
        for (address, kept) in [
            ("福建省厦门市思明区样例路1号", "福建省厦门市思明区"),
            ("厦门市思明区样例路1号", "厦门市思明区"),
            ("思明区样例路1号", "思明区"),
            ("北京市朝阳区样例街2号院", "北京市朝阳区"),
            ("广西壮族自治区梧州市藤县样例镇", "广西壮族自治区梧州市藤县"),
            ("江苏省苏州市昆山市样例路", "江苏省苏州市昆山市"),
            ("内蒙古自治区锡林郭勒盟东乌珠穆沁旗样例嘎查", "内蒙古自治区锡林郭勒盟东乌珠穆沁旗"),
            ("香港特别行政区中西区", "香港特别行政区中西区"),
            ("样例小区3栋", ""),
            ("幸福社区", ""),
            ("样例路1号", ""),
            ("12 Sample Street", ""),
            ("厦门市市场路1号", "厦门市"),
            ("", ""),
        ] {
            assert_eq!(down_to_county(address), kept, "{address}");
        }
        assert_eq!(down_to_city("福建省厦门市思明区样例路1号"), "福建省厦门市");
    }

    proptest! {
        #[test]
        fn what_is_kept_is_a_beginning_without_digits(address in "[省市区县州盟旗路街甲乙丙0-9]{0,24}") {
            let kept = down_to_county(&address);
            prop_assert!(address.starts_with(kept));
            prop_assert!(!kept.contains(|character: char| character.is_numeric() || character == '路' || character == '街'));
        }
    }
}
