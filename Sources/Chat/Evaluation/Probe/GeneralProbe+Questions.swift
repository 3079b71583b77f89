extension GeneralProbe {
  /// A sentence to be finished in one of four ways.
  struct Question: Sendable {
    let stem: String
    /// The first is right.
    let choices: [String]

    init(_ stem: String, _ choices: String...) {
      self.stem = stem
      self.choices = choices
    }
  }

  /// Common knowledge, written for this probe; easy for people, so that even a small model knows more than it would by chance. They never
  /// change, as the passages do not.
  static let questions = [
    // Geography
    Question("The capital of France is", "Paris", "Rome", "Madrid", "Vienna"),
    Question("The capital of Japan is", "Tokyo", "Beijing", "Seoul", "Bangkok"),
    Question("The longest river in Egypt is the", "Nile", "Amazon", "Danube", "Rhine"),
    Question("The largest ocean on Earth is the", "Pacific Ocean", "Arctic Ocean", "Indian Ocean", "Atlantic Ocean"),
    Question("Mount Everest lies in the", "Himalayas", "Alps", "Andes", "Rocky Mountains"),
    Question("The Sahara is a large", "desert", "forest", "lake", "city"),
    Question("Kangaroos live in the wild in", "Australia", "Canada", "Norway", "Egypt"),
    Question("The country south of the United States is", "Mexico", "Canada", "Iceland", "Portugal"),
    Question("London is a city in", "England", "Italy", "Brazil", "China"),
    Question("Penguins are found near the", "South Pole", "equator", "Sahara", "Great Wall"),
    // Nature
    Question("Bees make", "honey", "milk", "silk", "wool"),
    Question("A young dog is called a", "puppy", "kitten", "calf", "lamb"),
    Question("A spider has eight", "legs", "wings", "tails", "horns"),
    Question("Fish breathe with their", "gills", "fins", "scales", "tails"),
    Question("Cows eat mostly", "grass", "meat", "fish", "stones"),
    Question("The largest animal that lives in the sea is the blue", "whale", "shark", "crab", "seal"),
    Question("Caterpillars turn into", "butterflies", "spiders", "frogs", "birds"),
    Question("Trees take up water through their", "roots", "leaves", "flowers", "bark"),
    Question("In autumn many trees lose their", "leaves", "roots", "trunks", "rings"),
    Question("Owls hunt mostly at", "night", "noon", "lunch", "sea"),
    // The body
    Question("The heart pumps", "blood", "air", "water", "food"),
    Question("People breathe with their", "lungs", "kidneys", "knees", "ears"),
    Question("A person sees with the", "eyes", "ears", "hands", "nose"),
    Question("Each hand usually has five", "fingers", "toes", "elbows", "teeth"),
    Question("If you are very thirsty, you should drink", "water", "sand", "paint", "salt"),
    Question("A doctor who cares for teeth is called a", "dentist", "pilot", "lawyer", "baker"),
    // Physics, chemistry, astronomy
    Question("Water freezes and turns into", "ice", "steam", "fire", "wood"),
    Question("When water boils it becomes", "steam", "ice", "snow", "glass"),
    Question("The Earth moves around the", "Sun", "Moon", "North Star", "planet Mars"),
    Question("The planet closest to the Sun is", "Mercury", "Jupiter", "Saturn", "Neptune"),
    Question("A magnet attracts objects made of", "iron", "wood", "paper", "glass"),
    Question("The chemical formula of water is", "H2O", "CO2", "NaCl", "O2"),
    Question("Things fall to the ground because of", "gravity", "friction", "electricity", "sound"),
    Question("At night the sky is full of", "stars", "clowns", "fish", "bricks"),
    Question("Ice floats on water because it is less", "dense", "cold", "wet", "loud"),
    Question("Thunder comes together with", "lightning", "snow", "fog", "sunshine"),
    // Numbers and time
    Question("Two plus two is", "four", "seven", "nine", "ten"),
    Question("A week has seven", "days", "months", "hours", "years"),
    Question("A year has twelve", "months", "weeks", "days", "hours"),
    Question("An hour has sixty", "minutes", "days", "weeks", "months"),
    Question("The day after Monday is", "Tuesday", "Sunday", "Friday", "Saturday"),
    Question("A triangle has three", "sides", "wheels", "legs", "colours"),
    Question("Half of ten is", "five", "eight", "twelve", "two"),
    Question("The month after March is", "April", "January", "August", "November"),
    // Everyday life
    Question("To cut paper, people use", "scissors", "a spoon", "a pillow", "a candle"),
    Question("You can read many books in a", "library", "swimming pool", "garage", "bakery"),
    Question("When it rains, people carry an", "umbrella", "oven", "anchor", "armchair"),
    Question("Bread is baked in an", "oven", "envelope", "aquarium", "elevator"),
    Question("A person who flies an aeroplane is a", "pilot", "farmer", "teacher", "painter"),
    Question("To open a locked door you need a", "key", "fork", "hat", "song"),
    Question("Milk is kept cold in the", "refrigerator", "bookcase", "fireplace", "bathtub"),
    Question("In winter people wear warm", "coats", "sandals", "swimsuits", "sunglasses"),
    Question("A red traffic light tells drivers to", "stop", "sing", "speed up", "sleep"),
    Question("To write on paper you can use a", "pencil", "plate", "ladder", "shoe"),
    // Culture and language
    Question("Shakespeare wrote", "plays", "computer programs", "recipes", "maps"),
    Question("The opposite of hot is", "cold", "warm", "fast", "tall"),
    Question("The opposite of up is", "down", "left", "over", "high"),
    Question("A piano is a musical", "instrument", "vegetable", "animal", "vehicle"),
    Question("The first president of the United States was George", "Washington", "Einstein", "Mozart", "Orwell"),
    Question("More than one mouse are called", "mice", "geese", "oxen", "feet"),
  ]
}
