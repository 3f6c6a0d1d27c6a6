//! Every problem a sender can be told about a body or a record: stable code, English and Chinese sentence.
//!
//! The codes are a contract (`docs/` lists them); sentences may improve. `{0}`… are limits, expected values or names from the
//! schema, never a value that was sent.

/// A stable code with its two sentences.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// Kebab-case with dots, e.g. `record.field-unknown`.
    pub code: &'static str,
    /// English sentence with places `{0}`…
    pub en: &'static str,
    /// Chinese sentence with the same places.
    pub zh: &'static str,
}

macro_rules! problems {
    ($($name:ident $code:literal $en:literal $zh:literal)*) => {
        $(pub(crate) static $name: Problem = Problem { code: $code, en: $en, zh: $zh };)*
        /// All problems, for documentation and for tests.
        pub static ALL: &[&Problem] = &[$(&$name),*];
    };
}

problems! {
    // ---- the body as a whole
    BODY_EMPTY "body.empty" "The body holds no record." "请求体中没有记录。"
    BODY_ENCODING "body.encoding" "The body is not valid {0} from byte {1} on. Send it again in the declared character set." "自第 {1} 字节起不是有效的 {0} 编码，请按声明的字符集重新发送。"
    BODY_LOOKS_GB "body.encoding-looks-gb18030" "The body is not UTF-8, but reads as GB18030. Declare `charset=gb18030`, or convert the file to UTF-8." "请求体不是 UTF-8，看来是 GB18030 编码。请声明 charset=gb18030，或先转换为 UTF-8。"
    BODY_SYNTAX "body.malformed" "The {0} is broken at byte {1}; records before it were read, those after it were not." "{0} 在第 {1} 字节处格式错误；此前的记录已读取，此后的未读取。"
    BODY_TRUNCATED "body.truncated" "The {0} ends in the middle of a record. The file is probably incomplete." "{0} 在记录中间结束，文件可能不完整。"
    BODY_TRAILING "body.trailing" "There is something after the end of the {0}, at byte {1}. Send one document only." "{0} 结束之后第 {1} 字节处还有内容，请只发送一个文档。"
    BODY_TOO_MANY_RECORDS "body.too-many-records" "The body holds more than {0} records. Split it." "记录数超过 {0} 条，请拆分后发送。"
    BODY_TOO_DEEP "body.too-deep" "Nested deeper than {0} levels at byte {1}." "第 {1} 字节处嵌套超过 {0} 层。"
    BODY_TOO_MANY_FIELDS "body.too-many-fields" "A record has more than {0} members, at byte {1}." "第 {1} 字节处的记录超过 {0} 个成员。"
    BODY_RECORD_TOO_LARGE "body.record-too-large" "A record is longer than {0} bytes, at byte {1}." "第 {1} 字节处的记录超过 {0} 字节。"
    BODY_XML_FORBIDDEN "body.xml-forbidden" "{0} at byte {1}: the XML may hold elements and text only, without processing instructions or attributes." "第 {1} 字节处出现 {0}：XML 只允许元素和文本，不允许处理指令和属性。"
    BODY_DTD "body.dtd" "A document type or an entity of its own stands at byte {0}. Remove it; only the five predefined entities are read." "第 {0} 字节处有文档类型声明或自定义实体，请删除；仅支持五个预定义实体。"
    BODY_XML_STRUCTURE "body.xml-structure" "The XML must be records/record/field, it is not at byte {0}." "XML 结构应为 records/record/字段，第 {0} 字节处不符。"
    BODY_CSV_HEADER "body.csv-header" "Column {0} of the header row is not a field of schema {1}. The first row must name the fields by code, alias or Chinese title.{2}" "表头第 {0} 列不是模式 {1} 的字段。首行应为字段代码、别名或中文名称。{2}"
    BODY_CSV_HEADER_TWICE "body.csv-header-twice" "Columns {0} and {1} of the header row name the same field {2}. Keep one." "表头第 {0} 列与第 {1} 列是同一字段 {2}，请保留一列。"
    BODY_CSV_QUOTE "body.quote-unclosed" "A quoted CSV value that begins at byte {0} is never closed; the rows after it were not read." "第 {0} 字节开始的引号未闭合，其后的行未读取。"
    // ---- one record
    RECORD_ENCODING "record.encoding" "The record is not valid UTF-8." "该记录不是有效的 UTF-8 编码。"
    RECORD_SYNTAX "record.syntax" "The record is not valid JSON at byte {0} of it." "该记录在第 {0} 字节处不是合法的 JSON。"
    RECORD_NOT_OBJECT "record.not-object" "A record must be a JSON object of strings." "记录应为由字符串组成的 JSON 对象。"
    RECORD_TOO_DEEP "record.too-deep" "Nested deeper than {0} levels." "嵌套超过 {0} 层。"
    RECORD_TOO_MANY_FIELDS "record.too-many-fields" "The record has more than {0} members." "该记录超过 {0} 个成员。"
    RECORD_TOO_LARGE "record.too-large" "The record is longer than {0} bytes." "该记录超过 {0} 字节。"
    RECORD_FIELD_UNKNOWN "record.field-unknown" "Member {0} of the record is not a field of the schema. Use a code, alias or Chinese title from the template.{1}" "第 {0} 个成员不是该模式的字段，请使用模板中的代码、别名或中文名称。{1}"
    RECORD_FIELD_TWICE "record.field-twice" "The field occurs twice, perhaps once by code and once by title. Keep one." "该字段出现两次（可能分别用了代码和名称），请保留一个。"
    RECORD_COLUMNS "record.column-count" "The row has {1} columns, the header row has {0}. Check quotes and commas." "该行有 {1} 列，表头有 {0} 列，请检查引号和逗号。"
    RECORD_QUOTE "record.quote" "A quotation mark stands at a place where CSV does not allow it, in column {0}. Quote the whole value and double the marks inside." "第 {0} 列的引号位置不合规，请将整个值加引号并将内部引号写两次。"
    RECORD_AT_LEAST_ONE "record.at-least-one-of" "At least one of these must be filled: {0}." "以下字段至少填写一项：{0}。"
    RECORD_SUBJECT_KIND "record.subject-kind-unknown" "It cannot be told whether the subject is an organisation, an individual business or a natural person. Correct {0}." "无法判断行政相对人类别，请更正 {0}。"
    RECORD_SUBJECT_CONTRADICTS "record.subject-contradicts" "The record declares {1}, but its code is that of {0}. Public recipients do not get it until one of them is corrected." "记录填报的相对人类别为{3}，而其代码属于{2}。更正之前不对外公示。"
    RECORD_SUBJECT_UNPROVEN "record.subject-unproven" "No code with a check tells that the subject is an organisation or an individual business, so public recipients treat it as a natural person. Give the unified social credit code." "没有可校验的代码证明相对人是单位或个体工商户，对外公示时按自然人处理。请填写统一社会信用代码。"
    RECORD_SUBJECT_UNCODED "record.subject-uncoded" "No code with a check tells what the subject is; it is taken for what the record declares if a basis is registered for its authority. Give the unified social credit code as soon as there is one, and remove `basis`." "没有可校验的代码证明相对人类别；其决定机关登记有相应依据的，按填报类别处理。取得统一社会信用代码后请填写，并删除 basis。"
    RECORD_KEY "record.key-missing" "Without `ref`, the key {0} must be filled: one of {1}." "未提供 ref 时，主键 {0} 必须填写：{1} 之一。"
    RECORD_AUDIENCE "record.audience-unknown" "The usage scope must be one of {0}." "使用范围应为 {0} 之一。"
    RECORD_REF "record.ref-form" "`{0}` must be 1 to {1} characters from A-Z a-z 0-9 . _ : / + -, without personal data." "{0} 应为 1 至 {1} 个字符，限 A-Z a-z 0-9 . _ : / + -，不得含个人信息。"
    RECORD_REF_PERSONAL "record.ref-personal-number" "`{0}` is, or looks like, a person's identity number or mobile phone. It is kept longer than the record: use a number of your own that says nothing about a person, and `replaces` where the record was sent under this one." "{0} 是或疑似个人身份证件号码或手机号，而其保存时间长于记录本身。请改用不含个人信息的自编号；已以该编号报送的，请用 replaces 替换。"
    RECORD_REPLACES_SELF "record.replaces-self" "`replaces` must name another record than `ref`." "replaces 不得与 ref 相同。"
    RECORD_RECALL_MEMBER "record.recall-member" "`{0}` belongs to a recall, not to a record that is put. Remove it." "{0} 仅用于撤回类操作，请删除。"
    RECALL_IDENTITY "recall.identity-missing" "Say which record is meant: `ref`, or all key fields ({0})." "请指明是哪条记录：ref，或全部主键字段（{0}）。"
    RECALL_RECORD "recall.record-not-wanted" "A recall carries `ref` or key fields, `reason`, `basis` and `effective`, and nothing else of the record. Remove this field." "撤回类操作只携带 ref 或主键字段以及 reason、basis、effective，请删除该字段。"
    RECALL_MEMBER "recall.member-missing" "`{0}` is required." "{0} 必填。"
    RECALL_TEXT "recall.member-too-long" "`{0}` may have at most {1} characters." "{0} 最多 {1} 个字符。"
    RECALL_REASON "recall.reason-contradicts" "This `reason` says the opposite of what the operation does. Use the operation that is meant, or say why this one is right: of an objection that was taken back, `objection-withdrawn`, not `withdrawn`." "reason 的含义与所用操作相反。请改用本意对应的操作，或写明采用该操作的原因：例如异议被撤回应写 objection-withdrawn，而不是 withdrawn。"
    // ---- one field: form
    FIELD_NOT_TEXT "field.not-text" "The value must be a string, not an object, a list, true or false." "值应为字符串，不能是对象、数组或布尔值。"
    FIELD_NUMBER "field.number-for-text" "The value must be a string in quotes: a bare number loses leading zeros." "值应为带引号的字符串：裸数字会丢失前导零。"
    FIELD_SURROGATE "field.lone-surrogate" "The text holds half of a surrogate pair, which is no character. Correct the program that wrote it." "文本含不成对的代理码，不是字符，请修正生成程序。"
    FIELD_VALUE_LARGE "field.value-too-large" "The value is longer than {0} bytes." "值超过 {0} 字节。"
    FIELD_CONTROL "field.control-character" "The text holds a control character. Remove it." "文本含控制字符，请删除。"
    FIELD_REPLACEMENT "field.replacement-character" "The text holds the replacement character U+FFFD: a character was lost before it came here. Restore it at the source." "文本含替换符 U+FFFD，说明字符在到达前已丢失，请在源头恢复。"
    FIELD_RARE "field.rare-character" "The text holds a private-use or unassigned character, which others may see differently. Check it." "文本含自造区或未分配字符，他处显示可能不同，请核对。"
    FIELD_REPERTOIRE "field.repertoire" "The text holds a character that is not in {0}." "文本含不属于 {0} 的字符。"
    FIELD_TOO_LONG "field.too-long" "The value has {2} {1}, at most {0} are allowed. It is not cut: shorten it." "值长 {2}，上限为 {0}（单位：{1}）。系统不会截断，请缩短。"
    FIELD_NOT_NUMBER "field.not-number" "The value must be a plain decimal number such as 0.2, without thousands sign, unit or exponent." "值应为普通十进制数（如 0.2），不带千分位、单位或指数。"
    FIELD_PRECISION "field.precision" "The number may have at most {0} digits before and {1} after the decimal point. It is not rounded." "整数部分最多 {0} 位、小数部分最多 {1} 位，系统不会四舍五入。"
    FIELD_DATE "field.date" "The value must be a date that exists, written YYYY/MM/DD; 2099/12/31 means without end." "值应为真实存在的日期，格式 YYYY/MM/DD；2099/12/31 表示长期。"
    FIELD_CODE "field.code-unknown" "The value is not in the code set {0}. Allowed: {1}." "值不在代码集 {0} 中。允许：{1}。"
    FIELD_CODE_SUFFIX "field.code-suffix" "This code must go on with `{0}` and a description." "该代码后须以“{0}”加说明。"
    FIELD_CODE_TWICE "field.code-twice" "The same code occurs twice." "同一代码重复出现。"
    FIELD_IDENTIFIER "field.identifier" "Not a valid {0}: {1}." "不是有效的 {0}：{2}。"
    FIELD_IDENTIFIER_DOUBT "field.identifier-doubtful" "A doubtful {0}: {1}." "可疑的 {0}：{2}。"
    FIELD_PLACEHOLDER "field.placeholder" "A placeholder stands where a code should be; the subject can only be matched by other fields." "此处为占位代码，只能依靠其他字段匹配主体。"
    FIELD_PERSONAL "field.personal-number" "A number that looks like a person's identity or document number, a mobile phone or a bank card stands where none belongs. Public recipients get it masked; move it to its own field, or remove it." "此处出现疑似身份证件号码、手机号或银行卡号，不应填写在该字段。对外公示时将脱敏；请移至相应字段或删除。"
    FIELD_MASKED "field.masked" "The value was masked upstream and cannot be checked." "该值已在上游脱敏，无法校验。"
    // ---- one field: rules
    FIELD_REQUIRED "field.required" "The field is required." "该字段必填。"
    FIELD_REQUIRED_WHEN "field.required-when" "The field is required {0}." "该字段必填（{1}）。"
    FIELD_BLANK_WHEN "field.blank-when" "The field must be blank {0}." "该字段应为空（{1}）。"
    FIELD_NOT_BEFORE "field.not-before" "The date must not be earlier than {0}." "该日期不得早于 {0}。"
    FIELD_AFTER_RECEIPT "field.after-receipt" "The date must not be later than the day of receipt." "该日期不得晚于接收日。"
    FIELD_RANGE "field.out-of-range" "The value must lie between {0} and {1}." "值应在 {0} 与 {1} 之间。"
    FIELD_PREFIX "field.prefix" "The value should begin with {0} {1}." "值应以 {0} 开头（{2}）。"
    FIELD_DOUBTFUL "field.doubtful" "The value is allowed, but says nothing. Fill in the real one if there is one." "该值虽允许但无实际含义，如有真实值请填写。"
    // ---- cleaning
    CLEANED_TRIM "cleaned.trim" "White space around the value was removed." "已去除首尾空白。"
    CLEANED_NULL "cleaned.null-word" "The word null was taken as empty." "文字 null 已视为空。"
    CLEANED_WIDTH "cleaned.fold-width" "Full-width characters were turned into half-width ones." "全角字符已转换为半角。"
    CLEANED_FORM "cleaned.normal-form" "The identifier was put into its normal form: half-width, capitals, no spaces." "标识已转换为规范形式：半角、大写、无空格。"
    CLEANED_DATE "cleaned.date" "The date was respelt as YYYY/MM/DD." "日期已改写为 YYYY/MM/DD。"
    CLEANED_NUMBER "cleaned.number" "The number was respelt without superfluous signs." "数字已改写为规范形式。"
    CLEANED_CODE "cleaned.code" "The value was replaced by the code it means." "值已替换为对应代码。"
    // ---- a recipient's schema
    MAP_UNMAPPED "map.unmapped-value" "The value has no counterpart in the table {0} of the mapping." "值在映射表 {0} 中没有对应项。"
    MAP_TAKEN_BACK "map.taken-back" "The recipient's schema cannot hold this version of the record. The recipient does not get it, and an older version it may have is withdrawn there. Correct the record and send it again." "接收方的数据标准无法容纳该记录的这一版本：该版本不下发给该接收方，其可能持有的旧版本已向其发出撤回。请更正后重新报送。"
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn codes_are_unique_and_sentences_use_the_same_places() {
        for (i, problem) in ALL.iter().enumerate() {
            assert!(ALL[..i].iter().all(|other| other.code != problem.code), "{} twice", problem.code);
            assert!(
                problem
                    .code
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
            );
            assert!(
                problem.en.ends_with(['.', '}']) && problem.zh.ends_with(['。', '}']),
                "{}",
                problem.code
            );
        }
    }
}
