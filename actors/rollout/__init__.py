"""The rollout watcher: follows the files in which agents keep their conversations, and publishes what they say, each line once.

Must not know the registry or what anybody concludes from a transcript.
"""
