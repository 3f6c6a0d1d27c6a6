//! Names of natural persons.

/// Two-character surnames that are still borne.
const COMPOUND: &[&str] = &[
    "欧阳", "司马", "上官", "诸葛", "夏侯", "东方", "皇甫", "尉迟", "公孙", "慕容", "令狐", "司徒", "司空",
    "长孙", "宇文", "鲜于", "闾丘", "轩辕", "澹台", "公冶", "宗政", "濮阳", "淳于", "单于", "太叔", "申屠",
    "仲孙", "钟离", "端木", "百里", "东郭", "南宫", "呼延", "西门", "独孤", "赫连", "拓跋", "完颜", "纳兰",
    "第五", "左丘", "梁丘", "公羊", "谷梁", "歐陽", "司馬", "諸葛",
];

/// A Chinese name keeps its surname, any other its first letter; two stars follow, however long it is.
pub(super) fn mask(name: &str, out: &mut String) {
    let mut characters = name.chars();
    let Some(first) = characters.next() else { return };
    match characters.next() {
        // One character is all of the name.
        None => {}
        // A compound surname alone would be the whole name.
        Some(second) if characters.next().is_some() => {
            let start = &name[..first.len_utf8() + second.len_utf8()];
            if COMPOUND.contains(&start) {
                out.push_str(start);
            } else if first.is_alphabetic() {
                out.push(first);
            }
        }
        Some(_) if first.is_alphabetic() => out.push(first),
        Some(_) => {}
    }
    out.push_str("**");
}

#[cfg(test)]
mod tests {
    use crate::mask::Mask;

    #[test]
    fn surnames_stay() {
        for (name, masked) in [
            ("张三", "张**"),
            ("张三丰", "张**"),
            ("欧阳样例", "欧阳**"),
            ("欧阳", "欧**"),
            ("甲", "**"),
            ("阿卜杜拉·买买提", "阿**"),
            ("John Smith", "J**"),
            ("𠮷野样例", "𠮷**"),
            ("350203199001011234", "**"),
            ("(匿名)", "**"),
        ] {
            assert_eq!(Mask::Name.of(name), masked, "{name}");
        }
    }
}
