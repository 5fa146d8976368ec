//! What the simulated viewers say, in several languages: our own words, sorted by mood.

/// A language of the audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    English,
    Japanese,
    Chinese,
    Korean,
    Spanish,
    Portuguese,
    German,
    French,
}

/// What a comment is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Somebody has just come.
    Hello,
    /// Nothing special happens.
    Chat,
    /// Something great has just happened.
    Wow,
    /// Something funny has.
    Laugh,
    /// Something went wrong.
    Aww,
}

/// What is said in a language in a mood; at least one phrase.
pub fn phrases(language: Language, mood: Mood) -> &'static [&'static str] {
    match language {
        Language::English => english(mood),
        Language::Japanese => japanese(mood),
        Language::Chinese => chinese(mood),
        Language::Korean => korean(mood),
        Language::Spanish => spanish(mood),
        Language::Portuguese => portuguese(mood),
        Language::German => german(mood),
        Language::French => french(mood),
    }
}

/// First parts of the viewers' names.
pub const NAMES: [&str; 24] = [
    "Ann", "Bo", "Chiyo", "Dmitri", "Elif", "Femi", "Gita", "Hana", "Igor", "Jun", "Kaito", "Lena",
    "Mei", "Noor", "Otto", "Priya", "Quim", "Rosa", "Sora", "Tomas", "Uma", "Vera", "Wei", "Yuki",
];

/// What a gift is called, how it is named to people, and its value in coins.
pub const GIFTS: [(&str, &str, u32); 5] = [
    ("rose", "Rose", 1),
    ("coffee", "Coffee", 10),
    ("lantern", "Lantern", 50),
    ("comet", "Comet", 200),
    ("castle", "Castle", 1_000),
];

fn english(mood: Mood) -> &'static [&'static str] {
    match mood {
        Mood::Hello => &[
            "hi everyone",
            "just got here",
            "hello from the train",
            "did I miss much?",
        ],
        Mood::Chat => &[
            "the light is so good today",
            "what is this song?",
            "watching this with my cat",
            "sound is perfect",
            "is this the same place as last week?",
            "more of this please",
            "who else should be asleep",
            "the second one was better",
        ],
        Mood::Wow => &[
            "WOW",
            "no way!!",
            "that was clean",
            "again, again!",
            "incredible",
        ],
        Mood::Laugh => &["hahaha", "lol", "I can't breathe", "his face", "stop it"],
        Mood::Aww => &["oh no", "so close", "next time", "it's fine, go on"],
    }
}

fn japanese(mood: Mood) -> &'static [&'static str] {
    match mood {
        Mood::Hello => &["こんばんは", "初見です", "間に合った", "わこつ"],
        Mood::Chat => &[
            "今日は音がいいね",
            "この曲なに?",
            "ここ好き",
            "のんびりでいいな",
            "お腹すいてきた",
            "背景きれい",
        ],
        Mood::Wow => &["おおおお", "すごい", "88888888", "天才か", "うますぎる"],
        Mood::Laugh => &["www", "草", "腹痛いw", "そこでw"],
        Mood::Aww => &["あああ", "惜しい", "どんまい", "次いこう"],
    }
}

fn chinese(mood: Mood) -> &'static [&'static str] {
    match mood {
        Mood::Hello => &["大家好", "刚来", "第一次看", "赶上了"],
        Mood::Chat => &[
            "今天画质真好",
            "这首歌叫什么",
            "好舒服的节奏",
            "边吃饭边看",
            "主播辛苦了",
            "前排",
        ],
        Mood::Wow => &["太强了", "哇!!!", "666", "再来一次", "神了"],
        Mood::Laugh => &["哈哈哈哈", "笑死我了", "表情绝了", "233333"],
        Mood::Aww => &["啊这", "差一点", "没事没事", "可惜"],
    }
}

fn korean(mood: Mood) -> &'static [&'static str] {
    match mood {
        Mood::Hello => &["안녕하세요", "방금 왔어요", "처음 봐요"],
        Mood::Chat => &[
            "오늘 분위기 좋다",
            "이 노래 뭐예요?",
            "소리 좋네요",
            "편하게 보는 중",
        ],
        Mood::Wow => &["와 대박", "미쳤다", "한 번 더!", "최고"],
        Mood::Laugh => &["ㅋㅋㅋㅋ", "ㅎㅎㅎ", "아 웃겨", "표정 봐"],
        Mood::Aww => &["아쉽다", "괜찮아요", "아이고"],
    }
}

fn spanish(mood: Mood) -> &'static [&'static str] {
    match mood {
        Mood::Hello => &["hola a todos", "acabo de llegar", "buenas noches"],
        Mood::Chat => &[
            "qué buena luz",
            "¿qué canción es?",
            "me encanta este sitio",
            "yo con un café",
        ],
        Mood::Wow => &["¡qué bueno!", "madre mía", "¡otra, otra!", "increíble"],
        Mood::Laugh => &["jajaja", "no puedo más", "qué cara"],
        Mood::Aww => &["uy, casi", "no pasa nada", "qué pena"],
    }
}

fn portuguese(mood: Mood) -> &'static [&'static str] {
    match mood {
        Mood::Hello => &["oi gente", "cheguei agora", "boa noite"],
        Mood::Chat => &[
            "que clima bom",
            "que música é essa?",
            "assistindo no ônibus",
            "som perfeito",
        ],
        Mood::Wow => &["caramba!!", "que lindo", "mais uma!", "sensacional"],
        Mood::Laugh => &["kkkkkk", "morri", "olha a cara dele"],
        Mood::Aww => &["quase", "que pena", "segue o jogo"],
    }
}

fn german(mood: Mood) -> &'static [&'static str] {
    match mood {
        Mood::Hello => &["hallo zusammen", "gerade erst da", "guten Abend"],
        Mood::Chat => &[
            "schönes Licht heute",
            "wie heißt das Lied?",
            "läuft bei mir nebenbei",
            "gemütlich",
        ],
        Mood::Wow => &["Wahnsinn!", "stark", "nochmal!", "unfassbar gut"],
        Mood::Laugh => &["haha", "ich kann nicht mehr", "das Gesicht"],
        Mood::Aww => &["schade", "knapp", "macht nichts"],
    }
}

fn french(mood: Mood) -> &'static [&'static str] {
    match mood {
        Mood::Hello => &["salut tout le monde", "je viens d'arriver", "bonsoir"],
        Mood::Chat => &[
            "belle lumière",
            "c'est quoi cette chanson ?",
            "trop bien ici",
            "je regarde du train",
        ],
        Mood::Wow => &["incroyable !", "bravo", "encore !", "magnifique"],
        Mood::Laugh => &["mdr", "ptdr", "sa tête"],
        Mood::Aww => &["dommage", "presque", "pas grave"],
    }
}
