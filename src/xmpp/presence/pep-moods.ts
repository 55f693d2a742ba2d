/**
 * Moods of XEP-0107 that RPID has too, by the same name (RFC 4480, section 3.5 took them from there). What each side
 * calls unknown is `undefined` in XMPP and `unknown` in RPID.
 */
export const SHARED_MOODS: ReadonlySet<string> = new Set([
  'afraid', 'amazed', 'angry', 'annoyed', 'anxious', 'ashamed', 'bored', 'brave', 'calm', 'cold', 'confused',
  'contented', 'cranky', 'curious', 'depressed', 'disappointed', 'disgusted', 'distracted', 'embarrassed', 'excited',
  'flirtatious', 'frustrated', 'grumpy', 'guilty', 'happy', 'hot', 'humbled', 'humiliated', 'hungry', 'hurt',
  'impressed', 'in_awe', 'in_love', 'indignant', 'interested', 'invincible', 'jealous', 'lonely', 'mean', 'moody',
  'nervous', 'neutral', 'offended', 'playful', 'proud', 'relieved', 'remorseful', 'restless', 'sad', 'sarcastic',
  'serious', 'shocked', 'shy', 'sick', 'sleepy', 'stressed', 'surprised', 'thirsty', 'worried',
]); // prettier-ignore

/** Moods that only XEP-0107 has: towards RPID they are `other` with the name as its text, and back. */
export const XMPP_MOODS: ReadonlySet<string> = new Set([
  'amorous', 'aroused', 'cautious', 'confident', 'contemplative', 'crazy', 'creative', 'dejected', 'dismayed',
  'envious', 'hopeful', 'intoxicated', 'lucky', 'outraged', 'relaxed', 'spontaneous', 'strong', 'thankful', 'tired',
  'weak',
]); // prettier-ignore
