# What exists is not overwritten, unless by force; nothing is written over its own source.
bbcodec compress -q photo.png
bbcodec compress photo.png || echo "exit $?"
bbcodec decompress photo.bb || echo "exit $?"
echo precious >precious.bb
bbcodec compress -o precious.bb photo.png || echo "exit $?"
cat precious.bb
bbcodec compress -q -f -o precious.bb photo.png
bbcodec test precious.bb
ln photo.png link.png
bbcodec compress -f -o link.png photo.png || echo "exit $?"
bbcodec compress -o . photo.png || echo "exit $?"
bbcodec compress -o no/such/folder/photo.bb photo.png || echo "exit $?"
bbcodec decompress -o photo.jpg photo.bb || echo "exit $?"
ls -A
