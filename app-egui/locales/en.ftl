# Every word of the desktop app. Names in braces are filled in; people's names come from people.

app-name = Decent
loading = One moment…
back = Back
cancel = Cancel
close = Close
create = Create
save = Save
show = Show
look = Look
why = Why?
more = More
write = Write
preview = Preview
space = Space
topic = Topic
page = Page
spaces = Spaces
offline = Offline
online = Connected

## Times

day-today = Today
day-yesterday = Yesterday
ago-now = now
ago-minutes = { $count } min
ago-hours = { $count } h
ago-days = { $count } d
for-minutes = 10 minutes
for-hour = 1 hour
for-day = 1 day
for-week = 1 week
for-month = 30 days
until-unmute = Until lifted
how-long = For how long

## First start

welcome-title = A home for your community
welcome-words = Channels, topics and chat that belong to their members. No company can read, lock or lose them.
welcome-private = Everything is encrypted on your device. What stands between members cannot read it.
welcome-offline = It works without a network. What you write is sent when you are back.
welcome-fair = Every decision of a moderator can be looked up: who, when, and by which rule.
welcome-new = Get started
welcome-back = I have been here before
new-title = Who are you?
new-words = No account, no e-mail address: a key is made on this device.
new-create = Create my identity
field-name = Your name
hint-name = As others will see it
field-passphrase = Passphrase
field-again = Passphrase, once more
passphrase-words = It locks this profile on this device. Nobody can reset it; your recovery phrase can replace it.
passphrase-none = Without a passphrase, whoever can read this disk can read everything and write in your name.
passphrase-differs = The two passphrases differ.
busy-create = Making your key…
busy-open = Opening…
busy-restore = Restoring…
words-title = Your recovery phrase
words-words = These 24 words are you. With them and a backup you come back after a lost disk. They are shown once.
words-again = That was another word. Look at them once more, then try again.
words-paper = Write them down on paper, in this order.
words-secret = Never type them into a website and never send them to anybody.
words-written = I have written them down
check-title = Did you write them down?
check-words = Two of the words, to be sure.
check-word = Word { $count }
check-done = Finish
check-show = Show the words again
restore-title = Welcome back
restore-words = Your 24 words and a backup bring your identity and your Spaces to this device.
field-phrase = Recovery phrase
hint-phrase = 24 words, separated by spaces
field-backup = Backup file
hint-backup = /home/me/decent-backup.bin
restore-do = Restore
unlock-title = Unlock Decent
unlock-words = The profile in { $name }
unlock-do = Unlock
unlock-retry = Try again
problem-passphrase = That is not the passphrase of this profile.
problem-in-use = Another program has this profile open. Close it, then try again.
start-occupied = { $name } is not empty and holds no profile. Choose another folder with --profile.
stopped-title = Decent has stopped
stopped-words = Everything is saved. Close this window and start again.

## Spaces and channels

add-space = Add a Space
add-space-words = Found one of your own, or come into one that you were invited to.
space-create = Create a Space
space-create-words = You decide who comes in and what the rules are.
space-join = Join with an invite
space-join-words = Somebody sent you a link or showed you a code.
space-new-words = It begins on this device. Invite people whenever you like.
space-named = Space { $name }
space-unread = Space { $name }, { $count } unread
space-menu = Space menu
field-space = Name of the Space
hint-space = Allotment Garden
template = Begin with
template-community = Community
template-community-words = General, announcements, introductions, a forum and a place for help
template-team = Team
template-team-words = General, announcements, stand-up, a forum and decisions
template-family = Family
template-family-words = General, announcements, a forum and photos
channel-introductions = introductions
topic-introductions = Say hello
channel-help = help
topic-help = Ask anything
channel-standup = stand-up
topic-standup = What are you on today?
channel-decisions = decisions
topic-decisions = One topic for each
channel-photos = photos
topic-photos = What you saw
no-space-title = Nothing here yet
no-space-words = A Space is a place for a group: its channels, its members, its rules. Found one, or join with an invite.
channels = Channels
channel-create = Create a channel
channel-named = Channel { $name }
channel-unread = Channel { $name }, { $count } unread
channel-taken = There is a channel of that name already.
kind-chat = Chat
kind-chat-words = Everybody talks in one line
kind-forum = Forum
kind-forum-words = Topics with a title, each with its replies
kind-news = Announcements
kind-news-words = Few write, all read
field-channel = Name of the channel
hint-channel = tomatoes
field-topic = What it is about
field-category = Heading
hint-category = None
all-history = Newcomers see what was written before
leave-space = Leave this Space
leave-title = Leave { $name }?
leave-words = What is here stays readable. To come back you need a new invite.
requests = Want to come in
let-in = Let in
join = Ask to join
join-words = Paste the link. Nothing is sent before you ask to join.
join-id = Space { $name }
join-relays =
    { $count ->
        [0] The link names no relay. Joining needs one: add it in the settings.
        [one] Your request goes over one relay:
       *[other] Your request goes over { $count } relays:
    }
join-claim = The name is what the inviter calls it. Relays see your address on the network, never what is written.
join-known = You are in this Space already.
join-waits = { $name }: waiting for a member who is online to let you in
join-failed = { $name }: { $why }
field-link = Invite link
invite-people = Invite people
invite-title = Invite people to { $name }
invite-words = Whoever has the link may ask to come in.
invite-role = They come in as
invite-expires = Valid for
invite-uses = For
invite-people-count =
    { $count ->
        [one] 1 person
       *[other] { $count } people
    }
invite-approval = A moderator lets each of them in
invite-make = Make the link
invite-link = Invite link
invite-qr = Invite link as a QR code
invite-no-relay = You use no relay, so nobody can reach you by this link yet. Add one in the settings, then make another link.
copy-link = Copy link

## Talk

chat-empty-title = This is the beginning of { $name }
chat-empty-words = Nothing was written here yet. Say hello.
composer-hint = Message { $name }
composer-thread = Reply in this topic
composer-editing = You are editing a message
composer-reply = Reply to { $name }
mention-named = Mention { $name }
composer-sealing = Sealing files, { $name } %
attach = Attach
attach-files = Choose files…
attach-paste = Paste a picture
attach-drop = Drop files here to attach them
attach-remove = Take out { $name }
attach-no-file = { $name } is not a file.
attach-no-dialog = This desktop has no window for choosing files. Drop them onto this one instead.
attach-too-large = { $name } is too large: at most 64 MiB can be attached.
attach-too-many = A message has at most { $count } files.
pasted-name = pasted picture.png
paste-nothing = There is no picture on the clipboard.
composer-removed = You are not a member of this Space any more. You can read what is here.
composer-waiting = This device waits to be let in. You can write as soon as a member was online.
composer-guest = Guests read here.
composer-role = { $name } and up write here.
composer-archived = This channel is closed for posting.
cancel-this = Cancel
send = Send
emoji = Emoji
react = React
reply = Reply
edit = Edit
edited = edited
edited-times =
    { $count ->
        [one] Edited once
       *[other] Edited { $count } times
    }
pin = Pin
unpin = Unpin
pinned = Pinned
pins = Pinned messages
pins-none = Nothing is pinned among the messages shown here.
copy-text = Copy text
copy-id = Copy user id
copy-of = Copy { $name }
delete = Delete
delete-title = Delete this message?
delete-words = Everybody sees that there was a message. Earlier copies may remain with those who had read it.
hide-post = Hide for everyone
hide-title = Hide this message?
hide-words = Nobody sees what { $name } wrote any more. That you hid it, and why, stands in the audit. It can be shown again.
restore-post = Show again
why-post = Why does it stand like this?
go-to-post = Go to message
new-posts = NEW
to-newest = Go to the newest message
quote-gone = This message cannot be shown
post-named = Message by { $name } at { $time }
post-deleted = Deleted by its author
post-hidden = Hidden by { $name }
post-hidden-why = Hidden by { $name }: { $why }
post-unreadable = This message was damaged
post-refused = Refused by rule { $name }
post-muted = Written while its author was being muted
post-quarantined = Written after its author was removed, before they knew
post-late = late
post-late-words = Its author did not know yet of having been removed when this was written.
picture = Picture { $name }
picture-coming = Picture { $name }, on its way
picture-trouble = Not shown: { $name }.
picture-no-decoder = pictures cannot be decoded here
try-again = Try again
file-coming = { $size }, { $percent } % here
save-file = Save { $name }
save-downloads = Save to Downloads
save-as = Save as…
save-no-folder = There is no folder for downloads. Use “Save as…”.
save-no-dialog = This desktop has no window for choosing a place. Save to Downloads instead.
delivery-saved = Saved on this device. No relay has it yet.
delivery-relay =
    { $count ->
        [one] A relay has it
       *[other] { $count } relays have it
    }
delivery-seen =
    { $count ->
        [one] Seen by one person
       *[other] Seen by { $count } people
    }
badge-new = { $name } new
forum-empty-title = No topics yet
forum-empty-words = A topic has a title and its own replies, so that it can be found again.
forum-none-title = No topic fits
forum-none-words = Change the filter to see others.
forum-filter = Filter topics
sort-active = Active
sort-new = New
sort-replies = Replies
topic-new = New topic
topic-first = Write the first topic
topic-open = Post topic
topic-by = { $name } · { $time }
topic-gone = This topic was deleted or hidden
topic-named =
    { $count ->
        [one] Topic { $title } by { $name }, 1 reply
       *[other] Topic { $title } by { $name }, { $count } replies
    }
thread-back = Back to all topics
thread-close = Close topic
field-title = Title
hint-title = What is it about?
field-body = Text
hint-body = Markdown works here
field-tags = Tags
hint-tags = question, beds
markdown-words = **bold**  *italic*  `code`  > quote  - list

## Members and moderation

members = Members
members-count =
    { $count ->
        [one] 1 member
       *[other] { $count } members
    }
member-named = Member { $name }
member-devices =
    { $count ->
        [one] 1 device
       *[other] { $count } devices
    }
role = Role
role-head = { $name } — { $count }
role-owner = Owner
role-owners = Owners
role-admin = Admin
role-admins = Admins
role-moderator = Moderator
role-moderators = Moderators
role-member = Member
role-members = Members
role-guest = Guest
role-guests = Guests
role-banned = Banned
role-former = Former members
change-role = Change role
role-title = Change the role of { $name }
role-words = You can give what lies below your own role.
mute = Mute
unmute = Lift the mute
mute-title = Mute { $name }?
mute-only-here = Only in { $name }
kick = Kick
kick-title = Kick { $name }?
ban = Ban
ban-title = Ban { $name }?
unban = Lift the ban
why-removed = Why were they removed?
effect = What will come of it
effect-keys =
    { $count ->
        [one] Their device is taken out of the group: new messages are sealed without it.
       *[other] Their { $count } devices are taken out of the group: new messages are sealed without them.
    }
effect-seen = What you have seen of theirs stays.
effect-late-policy = What they wrote before they knew, and you have not seen, becomes what the rules of this Space say.
effect-late-accept = What they wrote before they knew, and you have not seen, is shown and marked as late.
effect-late-quarantine = What they wrote before they knew, and you have not seen, is shown behind a click.
effect-late-reject = What they wrote before they knew, and you have not seen, is not shown.
effect-kick = They may come back by an invite.
effect-ban = They may come back only once the ban is lifted.
effect-rank = If somebody of higher rank decides otherwise at the same time, theirs counts.
effect-mute = They cannot write as long as it lasts.
effect-mute-reads = They go on reading, and stay a member.
late-title = Messages that arrive late
late-policy = As the Space says
late-accept = Show
late-quarantine = Behind a click
late-reject = Do not show
field-reason = Reason
hint-reason = Stands in the audit, for everybody to read

## Audit

audit = Audit
audit-words = Everything that was decided, and why
audit-now = As it is now
audit-at = As it was on { $name }
audit-slider = Time of the Space
audit-entry = { $name } · { $kind }
audit-stood = The Space at that time
audit-ops =
    { $count ->
        [one] 1 entry in the log
       *[other] { $count } entries in the log
    }
audit-posts =
    { $count ->
        [one] 1 message
       *[other] { $count } messages
    }
audit-channels =
    { $count ->
        [one] 1 channel
       *[other] { $count } channels
    }
audit-empty = Nothing was decided yet
audit-void = Your { $kind } about { $about } does not count: { $why }
audit-again = Do it again
audit-proof = Save as a proof for others
why-title = Why it came out so
why-about = { $kind } by { $name }
why-deciding = Decided by
why-refused = refused
why-rule = Rule { $name }
why-op = Entry { $name } of the log

## Banner

banner-no-relay = You use no relay. What you write stays on this device until you add one.
banner-offline = No connection. What you write is saved, and sent when a relay can be reached.
banner-removed = You are not a member of this Space any more. What is here stays readable.
banner-waiting = The keys of this Space are not on this device yet. Any member who is online lets it in.
banner-voided =
    { $count ->
        [one] A decision of yours does not count
       *[other] { $count } decisions of yours do not count
    }
banner-requests =
    { $count ->
        [one] Somebody wants to come in
       *[other] { $count } people want to come in
    }
add-relay = Add a relay

## Health

health = Health
health-words = How your connection, your keys and your disk are.
health-fine = Everything is in order
health-exposed = This profile has no passphrase: its key lies beside it on the disk.
health-behind = The Space goes on with keys that are not here. Its members are asked for them.
health-forks =
    { $count ->
        [one] Two branches of the keys are being brought together
       *[other] { $count } places where branches of the keys are being brought together
    }
health-reconcile =
    { $count ->
        [one] A device waits to be let in or out
       *[other] { $count } devices wait to be let in or out
    }
health-lost =
    { $count ->
        [one] One entry was damaged by the disk and is fetched again
       *[other] { $count } entries were damaged by the disk and are fetched again
    }
health-update = This Space uses something that this version does not know. Update Decent.
health-members = Members
health-epoch = Epoch of the keys
health-queued = To be sent
health-held = Waiting for others
health-unopened = Waiting for keys
health-control = Decisions
health-hash = Fingerprint { $name }
relays = Relays
relays-words = A relay keeps sealed messages for members who are not online. It cannot read them. Everybody in a Space needs at least one in common.
relays-none = You use no relay yet.
relay-connected = Connected
relay-away = Not connected
relay-remove = Remove
sync-now = Exchange now
field-relay = Address of a relay

## Settings

settings = Settings
my-settings = My settings
close-page = Back to the Space
tab-identity = Identity
tab-devices = Devices
tab-backup = Backup
tab-notifications = Notifications
tab-appearance = Appearance
tab-about = About
identity-words = Your key is your identity. Nobody gave it to you, and nobody can take it.
identity-ring = The ring around your letter comes from your key. Others with your name have another one.
identity-did = Identity
identity-user = User id
identity-device = This device
identity-folder = Profile in { $name }
devices-words = A lost device is revoked for good: it reads nothing that comes after.
devices-none = Open a Space to see your devices in it.
devices-in = In { $name }
device-this = This device
device-ended = Revoked
device-waits = Waits to be let in
device-revoke = Revoke
backup-words = A backup has your identity and your Spaces, sealed: only your 24 words open it. Keep it on another disk.
field-backup-to = Save to
backup-do = Back up now
backup-later = What is written afterwards is not in it; members give it to you again.
look-theme = Theme
look-system = As the system
look-dark = Dark
look-light = Light
look-size = Text size
size-small = Small
size-normal = Normal
size-large = Large
size-huge = Very large
notifications-words = What the desktop tells you while you look elsewhere. Of which posts is chosen for each channel, by a right click on its name.
notify-away = While the window is in the background
notify-on = Tell me
notify-off = Tell me nothing
notify-texts = On the screen, which others may see
notify-texts-on = Who, where and what
notify-texts-off = Who and where
notify-me = Notify me of
notify-all = Everything
notify-mentions = Mentions and answers
notify-nothing = Nothing
notify-title = { $name } in { $channel } ({ $space })
notify-many = { $count ->
    [one] { $count } new message in { $space }
   *[other] { $count } new messages in { $space }
}
shortcuts = Keyboard shortcuts
shortcuts-words = Everything can be reached without a mouse.
key-switcher = Go to a channel, topic or page
key-channels = Next and previous channel
key-send = Send
key-line = A new line
key-edit = Edit your last message, in an empty field
key-leave = Leave a reply, an edit, a topic or a page
key-members = Show or hide members
key-settings = Settings
key-keys = These shortcuts
key-tab = Move between controls
about-words = A private home for communities: signed, encrypted, and yours.
about-version = Version { $name }
about-licence = Apache License 2.0
about-fonts = Set in Inter (SIL Open Font License), with icons by Phosphor (MIT)

## Quick switcher

switcher = Quick switcher
switcher-hint = Where to?
switcher-none = Nothing of that name
switcher-go = Go to { $name }

## Messages that go by themselves

said-synced = Everything is exchanged
said-busy = Too much is going on. Try again in a moment.
said-written = Saved as { $name }
said-joined = You are in
said-asked = Asked to join { $name }
said-removed = You are not a member of { $name } any more
said-gone = { $count ->
    [one] Something you wrote was damaged on this disk, and nobody else has it: it is gone.
   *[other] { $count } things you wrote were damaged on this disk, and nobody else has them: they are gone.
}
said-request = { $name } wants to come in
said-let-in = { $name } is let in
said-left = You left { $name }
said-copied = Copied
said-restored = The message is shown again
said-muted = { $name } is muted
said-unmuted = { $name } may speak again
said-kicked = { $name } is removed
said-banned = { $name } is banned
said-unbanned = { $name } may come back by an invite
said-role = { $name } is { $role } now
said-revoked = The device is revoked
said-relay-added = The relay is used from now on
said-relay-gone = The relay is not used any more
said-again = Done once more

## Changing what is there

channel-edit = Channel settings
channel-edit-title = Settings of { $name }
channel-edit-words = What changes here holds for everybody, and is in the audit log.
least-post = Who writes here: at least
least-thread = Who opens topics: at least
channel-closed = Closed: nobody writes any more
said-channel-changed = { $name } is changed.
space-edit = Space settings
space-edit-title = Settings of { $name }
space-edit-words = What changes here holds for everybody, and is in the audit log.
space-kick-late = Messages of kicked people that arrive late
space-ban-late = Messages of banned people that arrive late
said-space-changed = { $name } is changed.
invites = Invites
invites-words = Links that let people in. A link that is revoked lets in nobody who has not come yet.
invites-none = No invite is open.
invite-about = { $used } of { $most } used, until { $until }
invite-revoke = Revoke
said-invite-revoked = The invite is revoked.
topic-edit = Edit topic
withdraw = Withdraw the request
withdraw-title = Withdraw your request to join { $name }?
withdraw-words = If somebody lets you in all the same, nothing comes of it. You can ask again with the link.
said-withdrawn = You do not ask to join { $name } any more.
