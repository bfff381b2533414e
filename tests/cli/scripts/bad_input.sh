# One clear line and exit code 1 for each; no file appears.
mkdir folder
: >empty.png
echo 'dear diary' >photo.txt
cp photo.png photo.doc
head -c 300 photo.png >cut.png
bbcodec compress missing.png || echo "exit $?"
bbcodec compress folder || echo "exit $?"
bbcodec compress empty.png || echo "exit $?"
bbcodec compress photo.txt || echo "exit $?"
bbcodec compress cut.png || echo "exit $?"
bbcodec compress -o memory.bb /proc/self/mem || echo "exit $?"
bbcodec compress --max-pixels 1535 photo.png || echo "exit $?"
bbcodec compress --method learned --model no/such.bbm photo.png || echo "exit $?"
bbcodec decompress photo.png || echo "exit $?"
bbcodec decompress -o out.png photo.png || echo "exit $?"
bbcodec decompress -o out.png photo.txt || echo "exit $?"
bbcodec decompress -o out.png empty.png || echo "exit $?"
bbcodec test folder || echo "exit $?"
bbcodec info missing.bb || echo "exit $?"
bbcodec compare photo.txt || echo "exit $?"
bbcodec compress -q --method classic -o sound.bb photo.png
bbcodec test --max-pixels 1535 sound.bb || echo "exit $?"
head -c 100 sound.bb >cut.bb
bbcodec test cut.bb || echo "exit $?"
bbcodec decompress -q cut.bb || echo "exit $?"
bbcodec decompress -qq cut.bb || echo "exit $?"
ls -A
